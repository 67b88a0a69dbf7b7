{
  "targets": [
    {
      "target_name": "sallyport",
      "conditions": [
        ["OS=='linux'", {
          "sources": [
            "native/addon/addon.cc",
            "native/addon/become.cc",
            "native/addon/capabilities.cc",
            "native/addon/convert.cc",
            "native/addon/descriptors.cc",
            "native/addon/dumpable.cc",
            "native/addon/environment.cc",
            "native/addon/landlock.cc",
            "native/addon/launch.cc",
            "native/addon/rlimit.cc",
            "native/addon/seccomp.cc",
            "native/addon/secret_memory.cc",
            "native/addon/signals.cc",
            "native/addon/trace.cc",
            "native/kernel/become.cc",
            "native/kernel/bounds.cc",
            "native/kernel/calls.cc",
            "native/kernel/capabilities.cc",
            "native/kernel/cgroup.cc",
            "native/kernel/cgroup_trial.cc",
            "native/kernel/clone.cc",
            "native/kernel/descriptors.cc",
            "native/kernel/disk_usage.cc",
            "native/kernel/dumpable.cc",
            "native/kernel/each_thread.cc",
            "native/kernel/environment.cc",
            "native/kernel/exec.cc",
            "native/kernel/handover.cc",
            "native/kernel/host_memory.cc",
            "native/kernel/keyring.cc",
            "native/kernel/landlock.cc",
            "native/kernel/launch.cc",
            "native/kernel/leftovers.cc",
            "native/kernel/modes.cc",
            "native/kernel/network.cc",
            "native/kernel/notify.cc",
            "native/kernel/pidfd.cc",
            "native/kernel/remove_tree.cc",
            "native/kernel/restrict.cc",
            "native/kernel/rlimit.cc",
            "native/kernel/seccomp.cc",
            "native/kernel/scratch.cc",
            "native/kernel/secret_memory.cc",
            "native/kernel/secret_pages.cc",
            "native/kernel/self_stat.cc",
            "native/kernel/signals.cc",
            "native/kernel/stage.cc",
            "native/kernel/trace.cc",
            "native/kernel/usage.cc"
          ],
          "dependencies": ["<!(node -p \"require('node-addon-api').targets\"):node_addon_api"],
          "defines": ["NAPI_VERSION=8"],
          "cflags": ["-fvisibility=hidden", "-Wall", "-Wextra", "-D_FORTIFY_SOURCE=2", "-fstack-protector-strong"],
          "cflags_cc": ["-std=c++17", "-fno-rtti"],
          "ldflags": ["-Wl,-z,relro,-z,now", "-Wl,-z,noexecstack", "-Wl,-z,nodelete"]
        }, {
          "type": "none"
        }]
      ]
    },
    {
      # Outlives a supervisor to end what its tasks had started; native/kernel/launch.cc starts it.
      "target_name": "sweeper",
      "conditions": [
        ["OS=='linux'", {
          "type": "executable",
          "sources": [
            "native/kernel/cgroup.cc",
            "native/kernel/descriptors.cc",
            "native/kernel/dumpable.cc",
            "native/kernel/leftovers.cc",
            "native/kernel/pidfd.cc",
            "native/kernel/remove_tree.cc",
            "native/kernel/scratch.cc",
            "native/sweeper/sweeper.cc"
          ],
          "cflags": ["-Wall", "-Wextra"],
          "cflags_cc": ["-std=c++17", "-fno-rtti"],
          # Static where the C library can be: a few hundred KiB of memory, and nothing of the host's to load.
          "ldflags": ["<!@(echo 'int main(void) { return 0; }' | ${CC:-cc} -static -x c - -o /dev/null 2>/dev/null && echo -static || true)"]
        }, {
          "type": "none"
        }]
      ]
    },
    {
      # Pid 1 of a task's namespaces; native/kernel/stage.cc starts it.
      "target_name": "stage",
      "conditions": [
        ["OS=='linux'", {
          "type": "executable",
          "sources": [
            "native/kernel/capabilities.cc",
            "native/kernel/clone.cc",
            "native/kernel/descriptors.cc",
            "native/kernel/dumpable.cc",
            "native/kernel/each_thread.cc",
            "native/kernel/exec.cc",
            "native/kernel/keyring.cc",
            "native/kernel/landlock.cc",
            "native/kernel/pidfd.cc",
            "native/kernel/restrict.cc",
            "native/kernel/seccomp.cc",
            "native/kernel/self_stat.cc",
            "native/stage/stage.cc"
          ],
          "cflags": ["-Wall", "-Wextra"],
          "cflags_cc": ["-std=c++17", "-fno-rtti"],
          # Static where the C library can be: one file, mapped in a moment, whatever the host has.
          "ldflags": ["<!@(echo 'int main(void) { return 0; }' | ${CC:-cc} -static -x c - -o /dev/null 2>/dev/null && echo -static || true)"]
        }, {
          "type": "none"
        }]
      ]
    },
    {
      # The exploits of src/proof that are system calls: one small program, not part of the library.
      "target_name": "attack",
      "conditions": [
        ["OS=='linux'", {
          "type": "executable",
          "sources": ["<!@(node -p \"require('fs').readdirSync('native/proof').filter(f => f.endsWith('.c')).sort().map(f => 'native/proof/' + f).join(' ')\")"],
          "cflags": ["-Wall", "-Wextra"],
          # Static where the C library can be, so that it runs whatever a task may open.
          "ldflags": ["<!@(echo 'int main(void) { return 0; }' | ${CC:-cc} -static -x c - -o /dev/null 2>/dev/null && echo -static || true)"]
        }, {
          "type": "none"
        }]
      ]
    }
  ]
}
