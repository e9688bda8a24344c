// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// The kernel's helpers: libbpf's declarations in BPF. Natively whoever compiles the programs provides stand-ins in a
// header of the name bpf_stand_ins.h on its include path.
#pragma once

#include <linux/bpf.h>

#ifdef __bpf__
#include <bpf/bpf_helpers.h>
#else
#include "bpf_stand_ins.h"
#endif
