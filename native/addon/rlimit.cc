#include "convert.h"

namespace addon {

void InitRlimit(Napi::Env, Napi::Object) {}

}  // namespace addon
