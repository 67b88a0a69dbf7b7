#include "convert.h"

namespace addon {

void InitCapabilities(Napi::Env, Napi::Object) {}

}  // namespace addon
