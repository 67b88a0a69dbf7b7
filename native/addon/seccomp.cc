#include "../kernel/seccomp.h"

#include "convert.h"

namespace addon {

static Napi::Value SeccompAvailable(const Napi::CallbackInfo& info) {
  return Napi::Boolean::New(info.Env(), kernel::SeccompAvailable());
}

void InitSeccomp(Napi::Env env, Napi::Object exports) {
  exports.Set("seccompAvailable", Napi::Function::New(env, SeccompAvailable));
}

}  // namespace addon
