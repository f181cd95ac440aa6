#ifndef STROBE_SCHEDULE_CHOICES_H
#define STROBE_SCHEDULE_CHOICES_H

/** \file
 * A schedule (include/strobe/schedule.h) as plain data, and what CheckSchedule.h makes of it. */

#include "strobe/schedule.h"
#include "support/Source.h"

#include <map>

namespace strobe {

/** What the later stages need, resolved and checked against graph, plan and target. */
struct Choices {
    int query_tile = 0, stream_tile = 0;
    bool exchange = false;  // sum over the stream before what separates is contracted (rule R8)
    int parts = 1;  // of the stream, walked side by side and merged
    std::string share_axis;  // a grid axis of which a block has several points
    int share_points = 1;
    bool skip_dead = true;
    bool specialize_full = true;
    bool persistent = true;
    bool pingpong = false;
    bool query_descending = false;
    int stages = 2;
    /** Inputs with an element for each row and column, and how many of their tiles are in flight; those with 0, and
     * those not named, are read where they are used. */
    std::map<std::string, int> element_stages;
    int element_stages_of(const std::string &input) const {
        const auto found = element_stages.find(input);
        return found == element_stages.end() ? 0 : found->second;
    }
    int consumers = 2;  // warpgroups
    int chains = 1;     // warpgroups that share 64 rows, one for each independent chain of a step
    int producers = 1;  // warpgroups that only copy; 0: consumers copy for themselves
    int consumer_registers = 240, producer_registers = 24;
    int rescale_bits = 0;  // 0: always
    int vector_lanes = 8;
    bool general = false;  // the GPU kernel without warp roles
    std::set<std::string> held;              // scores whose rows lie in registers for a whole block
    std::map<std::string, std::string> mma;  // Func -> operand type; absent: the algorithm's own
    std::string instruction;                 // the matrix instruction: "wgmma", "mma"; "" without a matrix unit
    std::string copies;                      // how tiles of inputs arrive: "tma", "copy"; "" on a CPU
    std::vector<std::string> block_order;    // the batch axes, innermost first (behind the query axis)
    /** Warpgroups with rows of their own. */
    int row_groups() const {
        return consumers / (chains > 0 ? chains : 1);
    }
    bool operator==(const Choices &o) const;
    bool operator!=(const Choices &o) const {
        return !(*this == o);
    }
};

}  // namespace strobe

#endif
