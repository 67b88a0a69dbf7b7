#pragma once

#include <cerrno>
#include <utility>

namespace kernel {

// Outcome of one kernel call. Carries the call's name because "EPERM" alone
// never says which of the calls in a set-up sequence refused.
struct [[nodiscard]] Status {
  int err = 0;                    // errno value, 0 on success
  const char* syscall = nullptr;  // static string, e.g. "prctl"

  bool ok() const noexcept { return err == 0; }

  static Status Ok() noexcept { return {}; }
  static Status Error(int err, const char* syscall) noexcept { return {err, syscall}; }
  // Reads errno: call it before anything else can change it.
  static Status FromErrno(const char* syscall) noexcept { return {errno, syscall}; }
};

// A value, or the call that refused to give one.
template <typename T>
struct [[nodiscard]] Result {
  Status status;
  T value{};

  bool ok() const noexcept { return status.ok(); }

  static Result Of(T value) noexcept { return {Status::Ok(), std::move(value)}; }
  static Result Error(Status status) noexcept { return {status, T{}}; }
};

}  // namespace kernel
