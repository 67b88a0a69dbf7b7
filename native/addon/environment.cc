#include "../kernel/environment.h"

#include "convert.h"

namespace addon {

static Napi::Value Describe(Napi::Env env, const kernel::Result<kernel::Wiped>& wiped) {
  if (!wiped.ok()) return ReturnOrThrow(env, wiped.status);
  Napi::Object described = Napi::Object::New(env);
  described.Set("bytes", Napi::Number::New(env, static_cast<double>(wiped.value.bytes)));
  described.Set("seenInProc", Napi::Boolean::New(env, wiped.value.seen_in_proc));
  return described;
}

static Napi::Value WipeEnvironment(const Napi::CallbackInfo& info) {
  return Describe(info.Env(), kernel::WipeEnvironment());
}

static Napi::Value WipeArguments(const Napi::CallbackInfo& info) {
  return Describe(info.Env(), kernel::WipeArguments());
}

// TakeEnvironment() is in secret_memory.cc, with the other ways to make a secret.
void InitEnvironment(Napi::Env env, Napi::Object exports) {
  exports.Set("wipeEnvironment", Napi::Function::New(env, WipeEnvironment));
  exports.Set("wipeArguments", Napi::Function::New(env, WipeArguments));
}

}  // namespace addon
