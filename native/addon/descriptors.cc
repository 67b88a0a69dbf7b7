#include "convert.h"

namespace addon {

void InitDescriptors(Napi::Env, Napi::Object) {}

}  // namespace addon
