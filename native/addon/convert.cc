#include "convert.h"

#include <cerrno>
#include <cmath>
#include <cstring>

namespace addon {

// Our own switch: libuv's table lacks codes that landlock_add_rule(2) returns,
// and glibc's strerrorname_np(3) is not in musl.
const char* ErrnoName(int err) noexcept {
  switch (err) {
#define NAME(code) \
  case code:       \
    return #code
    NAME(EPERM); NAME(ENOENT); NAME(ESRCH); NAME(EINTR); NAME(EIO); NAME(ENXIO); NAME(E2BIG);
    NAME(ENOEXEC); NAME(EBADF); NAME(ECHILD); NAME(EAGAIN); NAME(ENOMEM); NAME(EACCES);
    NAME(EFAULT); NAME(ENOTBLK); NAME(EBUSY); NAME(EEXIST); NAME(EXDEV); NAME(ENODEV);
    NAME(ENOTDIR); NAME(EISDIR); NAME(EINVAL); NAME(ENFILE); NAME(EMFILE); NAME(ENOTTY);
    NAME(ETXTBSY); NAME(EFBIG); NAME(ENOSPC); NAME(ESPIPE); NAME(EROFS); NAME(EMLINK);
    NAME(EPIPE); NAME(EDOM); NAME(ERANGE); NAME(EDEADLK); NAME(ENAMETOOLONG); NAME(ENOSYS);
    NAME(ENOTEMPTY); NAME(ELOOP); NAME(ENOMSG); NAME(EBADFD); NAME(EOVERFLOW); NAME(EUSERS);
    NAME(EOPNOTSUPP); NAME(EAFNOSUPPORT); NAME(ETIMEDOUT); NAME(ESTALE); NAME(EDQUOT);
    NAME(ENOKEY); NAME(EKEYREVOKED); NAME(EKEYEXPIRED); NAME(EKEYREJECTED); NAME(ELIBBAD);
    NAME(ENODATA); NAME(EBADMSG); NAME(ETOOMANYREFS); NAME(ENOBUFS); NAME(ECONNREFUSED); NAME(ECONNRESET);
#undef NAME
  }
  return "UNKNOWN";
}

Napi::Error SystemError(Napi::Env env, const kernel::Status& status, const std::string& path) {
  const char* code = status.err == EOPNOTSUPP ? "ENOTSUP" : ErrnoName(status.err);
  const char* syscall = status.syscall ? status.syscall : "unknown";
  std::string message = std::string(code) + ": " + strerror(status.err) + ", " + syscall;
  if (!path.empty()) message += " '" + path + "'";
  Napi::Error error = Napi::Error::New(env, message);
  error.Set("errno", Napi::Number::New(env, -status.err));
  error.Set("code", Napi::String::New(env, code));
  error.Set("syscall", Napi::String::New(env, syscall));
  if (!path.empty()) error.Set("path", Napi::String::New(env, path));
  return error;
}

Napi::Value ReturnOrThrow(Napi::Env env, const kernel::Status& status, const std::string& path) {
  if (!status.ok()) SystemError(env, status, path).ThrowAsJavaScriptException();
  return env.Undefined();
}

bool IntArgument(const Napi::CallbackInfo& info, size_t index, int32_t* out) {
  if (info.Length() > index && info[index].IsNumber()) {
    double value = info[index].As<Napi::Number>().DoubleValue();
    if (value == std::floor(value) && value >= INT32_MIN && value <= INT32_MAX) {
      *out = static_cast<int32_t>(value);
      return true;
    }
  }
  Napi::TypeError::New(info.Env(), "argument " + std::to_string(index) + " must be a 32-bit integer")
      .ThrowAsJavaScriptException();
  return false;
}

bool StringArgument(const Napi::CallbackInfo& info, size_t index, std::string* out) {
  if (info.Length() > index && info[index].IsString()) {
    *out = info[index].As<Napi::String>().Utf8Value();
    // A NUL would end the C string early: what we checked is not what the kernel would see.
    if (out->find('\0') == std::string::npos) return true;
  }
  Napi::TypeError::New(info.Env(),
                       "argument " + std::to_string(index) + " must be a string without NUL bytes")
      .ThrowAsJavaScriptException();
  return false;
}

bool StringsOf(Napi::Env env, const Napi::Value& value, std::vector<std::string>* out) {
  out->clear();
  if (value.IsArray()) {
    Napi::Array array = value.As<Napi::Array>();
    bool strings = true;
    for (uint32_t i = 0; strings && i < array.Length(); i++) {
      Napi::Value item = array.Get(i);
      strings = item.IsString();
      if (strings) out->push_back(item.As<Napi::String>().Utf8Value());
      strings = strings && out->back().find('\0') == std::string::npos;
    }
    if (strings) return true;
  }
  Napi::TypeError::New(env, "must be an array of strings without NUL bytes")
      .ThrowAsJavaScriptException();
  return false;
}

}  // namespace addon
