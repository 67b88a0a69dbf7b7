#include "../kernel/dumpable.h"

#include "convert.h"

namespace addon {

static Napi::Value DisableDumpable(const Napi::CallbackInfo& info) {
  return ReturnOrThrow(info.Env(), kernel::DisableDumpable());
}

static Napi::Value GetDumpable(const Napi::CallbackInfo& info) {
  auto dumpable = kernel::GetDumpable();
  if (!dumpable.ok()) return ReturnOrThrow(info.Env(), dumpable.status);
  return Napi::Number::New(info.Env(), dumpable.value);
}

void InitDumpable(Napi::Env env, Napi::Object exports) {
  exports.Set("disableDumpable", Napi::Function::New(env, DisableDumpable));
  exports.Set("getDumpable", Napi::Function::New(env, GetDumpable));
}

}  // namespace addon
