#pragma once

#include <linux/filter.h>

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "modes.h"
#include "network.h"
#include "notify.h"
#include "trace.h"

namespace kernel {

// What one launch's filter leaves to the supervisor to answer.
struct CallPlan {
  NetworkGrants network;
  // What /etc/hosts holds for this task; empty: what the file itself does.
  std::string hosts;
  // Only where it is traced: the record, and the filter that is installed instead of the
  // plan's, which asks us where that one refuses.
  std::shared_ptr<Trace> trace;
  std::vector<sock_filter> traced_filter;
};

// What a task asks for more of, where its filter asks at all.
struct Room {
  std::function<bool(bool thread)> process;  // whether it may start
  std::function<bool()> session;
  std::function<void(uint64_t)> shared_memory;  // bytes that it is about to map
  std::function<void()> lock;                   // of a part of a file: it may be a new one
};

// Answers a task's calls until none of its processes is left. A thread for each such task,
// so that what one task asks for, or how often, never keeps another one waiting; it allows
// itself no call that waits. `filter`: the plan's.
// `places`: null where modes are not the supervisor's to change. `room`: of empty functions where the filter does not ask.
void AnswerCalls(UniqueFd listener, const CallPlan& plan, const OwnPlaces* places, const Room& room,
                 const std::vector<sock_filter>& filter);

}  // namespace kernel
