#include "convert.h"

namespace addon {

void InitLaunch(Napi::Env, Napi::Object) {}

}  // namespace addon
