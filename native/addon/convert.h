#pragma once

#include <napi.h>

#include <cstdint>
#include <string>
#include <vector>

#include "../kernel/result.h"

namespace addon {

// An Error shaped like Node's own system errors: `errno` negative, `code`,
// `syscall`, and `path` when there is one.
Napi::Error SystemError(Napi::Env env, const kernel::Status& status, const std::string& path = "");

// The last act of a binding: undefined, or throws. This folder alone throws.
Napi::Value ReturnOrThrow(Napi::Env env, const kernel::Status& status, const std::string& path = "");

// Our TypeScript checks what a user passes, with better words; these catch our
// own mistakes. Each throws a TypeError and returns false when the argument is not one.
bool IntArgument(const Napi::CallbackInfo& info, size_t index, int32_t* out);
bool StringArgument(const Napi::CallbackInfo& info, size_t index, std::string* out);
bool StringsOf(Napi::Env env, const Napi::Value& value, std::vector<std::string>* out);

// The errno's name as Node spells it ("ENOTSUP" for 95), or "UNKNOWN".
const char* ErrnoName(int err) noexcept;

// One per file of this folder; each adds its noun's functions to the export table.
void InitBecome(Napi::Env env, Napi::Object exports);
void InitCapabilities(Napi::Env env, Napi::Object exports);
void InitDescriptors(Napi::Env env, Napi::Object exports);
void InitDumpable(Napi::Env env, Napi::Object exports);
void InitEnvironment(Napi::Env env, Napi::Object exports);
void InitLandlock(Napi::Env env, Napi::Object exports);
void InitLaunch(Napi::Env env, Napi::Object exports);
void InitRlimit(Napi::Env env, Napi::Object exports);
void InitSeccomp(Napi::Env env, Napi::Object exports);
void InitSecretMemory(Napi::Env env, Napi::Object exports);
void InitSignals(Napi::Env env, Napi::Object exports);
void InitTrace(Napi::Env env, Napi::Object exports);

}  // namespace addon
