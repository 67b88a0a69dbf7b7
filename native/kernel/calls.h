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

// Answers a task's calls until none of its processes is left. A thread for each such task,
// so that what one task asks for, or how often, never keeps another one waiting; it allows
// itself no call that waits. `filter`: the plan's.
// `places`: null where modes are not the supervisor's to change. `may_start`: asked before
// each new process or thread; empty where the filter does not ask.
void AnswerCalls(UniqueFd listener, const CallPlan& plan, const OwnPlaces* places, const std::function<bool()>& may_start,
                 const std::vector<sock_filter>& filter);

}  // namespace kernel
