#include "convert.h"

namespace addon {

void InitSeccomp(Napi::Env, Napi::Object) {}

}  // namespace addon
