#include "../kernel/trace.h"

#include <memory>

#include "../kernel/notify.h"
#include "convert.h"

namespace addon {
namespace {

using SharedTrace = std::shared_ptr<kernel::Trace>;

// newTrace([[nr, numbers, folder, path]])
Napi::Value NewTrace(const Napi::CallbackInfo& info) {
  Napi::Array rows = info[0].As<Napi::Array>();
  std::vector<kernel::TracedCall> calls;
  for (uint32_t i = 0; i < rows.Length(); i++) {
    Napi::Array row = rows.Get(i).As<Napi::Array>();
    auto number = [&row](uint32_t index) { return row.Get(index).As<Napi::Number>().Int32Value(); };
    calls.push_back({number(0), static_cast<uint8_t>(number(1)), static_cast<int8_t>(number(2)), static_cast<int8_t>(number(3))});
  }
  auto* trace = new SharedTrace(std::make_shared<kernel::Trace>(std::move(calls)));
  return Napi::External<SharedTrace>::New(info.Env(), trace, [](Napi::Env, SharedTrace* shared) { delete shared; });
}

// takeTrace(trace): { entries: [[nr, errno, [six numbers], text, count]], dropped }
Napi::Value TakeTrace(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  uint64_t dropped;
  const auto taken = (*info[0].As<Napi::External<SharedTrace>>().Data())->Take(&dropped);
  Napi::Array entries = Napi::Array::New(env, taken.size());
  for (uint32_t i = 0; i < taken.size(); i++) {
    const kernel::TraceEntry& entry = taken[i];
    Napi::Array numbers = Napi::Array::New(env, entry.numbers.size());
    for (uint32_t j = 0; j < entry.numbers.size(); j++) numbers.Set(j, Napi::Number::New(env, static_cast<double>(entry.numbers[j])));
    Napi::Array row = Napi::Array::New(env, 5);
    row.Set(0u, Napi::Number::New(env, entry.nr));
    row.Set(1u, Napi::Number::New(env, entry.err));
    row.Set(2u, numbers);
    row.Set(3u, Napi::String::New(env, entry.text));
    row.Set(4u, Napi::Number::New(env, static_cast<double>(entry.count)));
    entries.Set(i, row);
  }
  Napi::Object result = Napi::Object::New(env);
  result.Set("entries", entries);
  result.Set("dropped", Napi::Number::New(env, static_cast<double>(dropped)));
  return result;
}

Napi::Value NotificationsAvailable(const Napi::CallbackInfo& info) {
  return Napi::Boolean::New(info.Env(), kernel::NotificationsAvailable());
}

}  // namespace

void InitTrace(Napi::Env env, Napi::Object exports) {
  exports.Set("newTrace", Napi::Function::New(env, NewTrace));
  exports.Set("takeTrace", Napi::Function::New(env, TakeTrace));
  exports.Set("notificationsAvailable", Napi::Function::New(env, NotificationsAvailable));
}

}  // namespace addon
