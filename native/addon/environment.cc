#include "../kernel/environment.h"

#include <cstring>

#include "convert.h"

extern "C" char** environ;

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

// environmentNames(): of every variable. libuv, which Node's own enumeration asks, copies each
// variable with its value to the heap and frees that without wiping it.
static Napi::Value EnvironmentNames(const Napi::CallbackInfo& info) {
  Napi::Array names = Napi::Array::New(info.Env());
  uint32_t count = 0;
  for (char** entry = environ; entry != nullptr && *entry != nullptr; entry++) {
    const char* end = strchr(*entry, '=');
    if (end != nullptr) names.Set(count++, Napi::String::New(info.Env(), *entry, static_cast<size_t>(end - *entry)));
  }
  return names;
}

// TakeEnvironment() is in secret_memory.cc, with the other ways to make a secret.
void InitEnvironment(Napi::Env env, Napi::Object exports) {
  exports.Set("environmentNames", Napi::Function::New(env, EnvironmentNames));
  exports.Set("wipeEnvironment", Napi::Function::New(env, WipeEnvironment));
  exports.Set("wipeArguments", Napi::Function::New(env, WipeArguments));
}

}  // namespace addon
