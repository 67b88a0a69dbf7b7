#include "convert.h"

namespace addon {

void InitSignals(Napi::Env, Napi::Object) {}

}  // namespace addon
