#include "../kernel/capabilities.h"

#include "convert.h"

namespace addon {

static Napi::Value GetCapabilities(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  auto found = kernel::GetCapabilitiesOnCurrentThread();
  if (!found.ok()) return ReturnOrThrow(env, found.status);
  Napi::Object sets = Napi::Object::New(env);
  sets.Set("effective", Napi::BigInt::New(env, found.value.effective));
  sets.Set("permitted", Napi::BigInt::New(env, found.value.permitted));
  sets.Set("inheritable", Napi::BigInt::New(env, found.value.inheritable));
  sets.Set("ambient", Napi::BigInt::New(env, found.value.ambient));
  sets.Set("bounding", Napi::BigInt::New(env, found.value.bounding));
  sets.Set("securebits", Napi::Number::New(env, found.value.securebits));
  return sets;
}

// dropCapabilities(keep): how many threads made the call. The error's `tid` is the thread that did not.
static Napi::Value DropCapabilities(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  bool lossless = false;
  uint64_t keep = 0;
  if (info.Length() > 0 && info[0].IsBigInt()) keep = info[0].As<Napi::BigInt>().Uint64Value(&lossless);
  if (!lossless) {
    Napi::TypeError::New(env, "argument 0 must be a 64-bit set").ThrowAsJavaScriptException();
    return env.Undefined();
  }
  auto result = kernel::DropCapabilities(keep);
  if (result.status.ok()) return Napi::Number::New(env, result.threads);
  Napi::Error error = SystemError(env, result.status);
  error.Set("tid", Napi::Number::New(env, result.tid));
  error.ThrowAsJavaScriptException();
  return env.Undefined();
}

void InitCapabilities(Napi::Env env, Napi::Object exports) {
  exports.Set("getCapabilities", Napi::Function::New(env, GetCapabilities));
  exports.Set("dropCapabilities", Napi::Function::New(env, DropCapabilities));
}

}  // namespace addon
