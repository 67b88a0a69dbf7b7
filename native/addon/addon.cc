#include "convert.h"

// The export table. One line a noun; the noun names the file beside this one,
// the file in ../kernel that does the work and the one in src/kernel that calls it.
static Napi::Object Init(Napi::Env env, Napi::Object exports) {
  addon::InitBecome(env, exports);
  addon::InitCapabilities(env, exports);
  addon::InitDescriptors(env, exports);
  addon::InitDumpable(env, exports);
  addon::InitEnvironment(env, exports);
  addon::InitLandlock(env, exports);
  addon::InitLaunch(env, exports);
  addon::InitRlimit(env, exports);
  addon::InitSeccomp(env, exports);
  addon::InitSecretMemory(env, exports);
  addon::InitSignals(env, exports);
  addon::InitTrace(env, exports);
  return exports;
}

NODE_API_MODULE(sallyport, Init)
