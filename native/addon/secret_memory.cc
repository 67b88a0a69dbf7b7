#include "convert.h"

namespace addon {

void InitSecretMemory(Napi::Env, Napi::Object) {}

}  // namespace addon
