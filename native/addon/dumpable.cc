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

// Process-wide: worker threads share it.
static bool FoundAtLoad() noexcept {
  static const bool found = kernel::WasBornDumpable();
  return found;
}

static Napi::Value BornDumpable(const Napi::CallbackInfo& info) {
  return Napi::Boolean::New(info.Env(), FoundAtLoad());
}

static Napi::Value ShowsNothing(const Napi::CallbackInfo& info) {
  const bool nothing = kernel::ShowsNothing(info[0].As<Napi::Number>().Int32Value(), info[1].As<Napi::Number>().Int32Value());
  return Napi::Boolean::New(info.Env(), nothing);
}

void InitDumpable(Napi::Env env, Napi::Object exports) {
  FoundAtLoad();
  exports.Set("bornDumpable", Napi::Function::New(env, BornDumpable));
  exports.Set("disableDumpable", Napi::Function::New(env, DisableDumpable));
  exports.Set("getDumpable", Napi::Function::New(env, GetDumpable));
  exports.Set("showsNothing", Napi::Function::New(env, ShowsNothing));
}

}  // namespace addon
