#include "../kernel/landlock.h"

#include "convert.h"

namespace addon {

static Napi::Value LandlockAbi(const Napi::CallbackInfo& info) {
  return Napi::Number::New(info.Env(), kernel::LandlockAbi());
}

static Napi::Value LandlockErrata(const Napi::CallbackInfo& info) {
  return Napi::Number::New(info.Env(), kernel::LandlockErrata());
}

void InitLandlock(Napi::Env env, Napi::Object exports) {
  exports.Set("landlockAbi", Napi::Function::New(env, LandlockAbi));
  exports.Set("landlockErrata", Napi::Function::New(env, LandlockErrata));
}

}  // namespace addon
