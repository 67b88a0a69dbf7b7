#include "../kernel/rlimit.h"

#include <limits>

#include "convert.h"

namespace addon {

// Infinity in JavaScript; a limit beyond 2^53 is as good as none.
static Napi::Value FromLimit(Napi::Env env, uint64_t limit) {
  return Napi::Number::New(env, limit == UINT64_MAX ? std::numeric_limits<double>::infinity() : static_cast<double>(limit));
}

static bool LimitArgument(const Napi::CallbackInfo& info, size_t index, uint64_t* out) {
  if (info.Length() > index && info[index].IsNumber()) {
    double value = info[index].As<Napi::Number>().DoubleValue();
    if (value >= 0) {
      *out = value >= 9007199254740992.0 ? UINT64_MAX : static_cast<uint64_t>(value);
      return true;
    }
  }
  Napi::TypeError::New(info.Env(), "argument " + std::to_string(index) + " must be a limit").ThrowAsJavaScriptException();
  return false;
}

static Napi::Value GetRlimit(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  int32_t resource;
  if (!IntArgument(info, 0, &resource)) return env.Undefined();
  auto limit = kernel::GetRlimit(resource);
  if (!limit.ok()) return ReturnOrThrow(env, limit.status);
  Napi::Object found = Napi::Object::New(env);
  found.Set("soft", FromLimit(env, limit.value.soft));
  found.Set("hard", FromLimit(env, limit.value.hard));
  return found;
}

static Napi::Value SetRlimit(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  int32_t resource;
  kernel::Rlimit limit;
  if (!IntArgument(info, 0, &resource) || !LimitArgument(info, 1, &limit.soft) || !LimitArgument(info, 2, &limit.hard)) {
    return env.Undefined();
  }
  return ReturnOrThrow(env, kernel::SetRlimit(resource, limit));
}

void InitRlimit(Napi::Env env, Napi::Object exports) {
  exports.Set("getRlimit", Napi::Function::New(env, GetRlimit));
  exports.Set("setRlimit", Napi::Function::New(env, SetRlimit));
}

}  // namespace addon
