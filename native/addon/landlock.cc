#include "convert.h"

namespace addon {

void InitLandlock(Napi::Env, Napi::Object) {}

}  // namespace addon
