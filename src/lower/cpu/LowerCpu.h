#ifndef STROBE_LOWER_CPU_LOWER_CPU_H
#define STROBE_LOWER_CPU_LOWER_CPU_H

/** \file
 * Tile program -> loops for a CPU. Blocks of rows run in parallel on Halide's
 * thread pool; each keeps its tiles in memory of a size that does not depend on
 * the lengths, so the whole needs memory linear in them. The result refers to the
 * caller's buffers by name (`q`, `q.min.0`, `q.stride.1`, ...), as Halide's own
 * loops do, and still holds vectorized loops: run_lower_passes finishes it. */

#include "schedule/Schedule.h"
#include "tile/TileProgram.h"

namespace strobe {

Halide::Internal::Stmt lower_cpu(const TileProgram &program, const Choices &choices, const Halide::Target &target);

}  // namespace strobe

#endif
