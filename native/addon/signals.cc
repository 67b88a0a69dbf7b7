#include "../kernel/signals.h"

#include "convert.h"

namespace addon {

static Napi::Value IgnoreSignal(const Napi::CallbackInfo& info) {
  int32_t signal;
  if (!IntArgument(info, 0, &signal)) return info.Env().Undefined();
  return ReturnOrThrow(info.Env(), kernel::IgnoreSignal(signal));
}

static Napi::Value SignalDisposition(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  int32_t signal;
  if (!IntArgument(info, 0, &signal)) return env.Undefined();
  auto found = kernel::GetDisposition(signal);
  if (!found.ok()) return ReturnOrThrow(env, found.status);
  return Napi::String::New(env, found.value == kernel::Disposition::kIgnore    ? "ignore"
                                : found.value == kernel::Disposition::kDefault ? "default"
                                                                               : "handler");
}

static Napi::Value DieWithParent(const Napi::CallbackInfo& info) {
  int32_t parent;
  if (!IntArgument(info, 0, &parent)) return info.Env().Undefined();
  return ReturnOrThrow(info.Env(), kernel::DieWithParent(parent));
}

void InitSignals(Napi::Env env, Napi::Object exports) {
  exports.Set("dieWithParent", Napi::Function::New(env, DieWithParent));
  exports.Set("ignoreSignal", Napi::Function::New(env, IgnoreSignal));
  exports.Set("signalDisposition", Napi::Function::New(env, SignalDisposition));
}

}  // namespace addon
