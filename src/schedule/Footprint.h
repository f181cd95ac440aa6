#ifndef STROBE_SCHEDULE_FOOTPRINT_H
#define STROBE_SCHEDULE_FOOTPRINT_H

/** \file
 * The registers and shared memory that a choice of tiles takes. Counts follow from
 * the shapes alone: a warpgroup's 64 x n fragment of 32-bit values is n / 2
 * registers in each of its 128 threads; weights rounded to 16 bits for the next
 * contraction are n / 4; accumulators are half the feature columns.
 */

#include "Schedule.h"
#include "Workload.h"
#include "device/Capability.h"

namespace strobe {

/** One summand, for errors and explanations: {"q", 24576}. */
struct FootprintTerm {
    std::string what;
    int64_t amount = 0;
};

struct Footprint {
    bool known = true;  // false: a feature size is not known, nothing below is
    int threads = 0;
    int registers = 0;  // a consumer thread
    std::vector<FootprintTerm> register_terms;
    int64_t shared_bytes = 0;  // GPU: of a block; CPU: what one block keeps in its caches
    std::vector<FootprintTerm> shared_terms;
    bool rows_ahead = false;  // the next block's row operands fit, too
    int blocks_per_multiprocessor = 1;
};

Footprint footprint_of(const Workload &work, const Choices &choices, const Capability &capability);

/** "scores 64 + accumulators 32" */
std::string sum_text(const std::vector<FootprintTerm> &terms, const std::string &unit = "");

/** Registers a thread at launch: an equal share of the multiprocessor's, in steps of 8. */
int launch_registers(int threads, const Capability &capability);

/** The largest legal split between this many consumer warpgroups and the producer's, which gets what it needs. */
struct RegisterSplit {
    int consumer = 0, producer = 0;
};
RegisterSplit largest_split(int consumers, int producers, const Capability &capability, const Workload &work);

}  // namespace strobe

#endif
