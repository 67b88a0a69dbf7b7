#include "convert.h"

namespace addon {

void InitEnvironment(Napi::Env, Napi::Object) {}

}  // namespace addon
