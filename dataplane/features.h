// What this host's kernel lacks for the programs, or does not let this process do. The kernel itself is asked, with the
// smallest programs and maps and, for tc, in a network namespace made for the question: nothing stays, nothing of the
// host changes. Some 30 ms.
#pragma once

#include <string>
#include <vector>

#include "dataplane/dataplane.h"

namespace mesh::dataplane {

// One entry per thing: "XDP programs (CONFIG_NET, CONFIG_BPF_SYSCALL): …". Empty: everything is there.
[[nodiscard]] std::vector<std::string> missing_features(const Options& options);

// The pin directory is, or could be made, on a BPF file system. kUnsupported says how to mount one.
[[nodiscard]] Status check_pin_directory(const std::string& path);

}  // namespace mesh::dataplane
