#ifndef STROBE_SCHEDULE_COMPLETE_CHOICES_H
#define STROBE_SCHEDULE_COMPLETE_CHOICES_H

/** \file
 * Fills what a schedule leaves open with choices that fit the machine and what was
 * given: a tile of the query axis implies its warpgroups and the other way round,
 * these imply the registers, and all of them the largest stream tile. */

#include "Footprint.h"

#include <set>

namespace strobe {

/** \p given: the directives that set their choices; besides, "producer" and
 * "registers" for those arguments of warps. */
void complete_choices(Choices &choices, const std::set<std::string> &given, const Workload &work, const Plan &plan,
                      const Capability &capability);

/** The mask lets later rows see more of the stream than earlier ones, so that the
 * last block of rows is the longest. */
bool rows_grow(const Plan &plan);

/** Some tile can be dead or partial. */
bool has_mask(const Plan &plan);

/** What a contraction's operands are in memory, as mma names it: "bf16", "fp16",
 * "fp32"; "" if they differ. */
std::string own_operand_type(const Contraction &c);

}  // namespace strobe

#endif
