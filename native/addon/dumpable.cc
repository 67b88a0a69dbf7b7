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

void InitDumpable(Napi::Env env, Napi::Object exports) {
  FoundAtLoad();
  exports.Set("bornDumpable", Napi::Function::New(env, BornDumpable));
  exports.Set("disableDumpable", Napi::Function::New(env, DisableDumpable));
  exports.Set("getDumpable", Napi::Function::New(env, GetDumpable));
}

}  // namespace addon
