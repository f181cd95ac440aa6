#ifndef STROBE_DRIVER_COMPILE_GENERAL_H
#define STROBE_DRIVER_COMPILE_GENERAL_H

/** \file
 * The stages up to the tile program for the general form of a GPU kernel
 * (lower/simt): tile sizes are those of the schedule, or the first of a list that
 * fit the machine. */

#include "Compile.h"
#include "device/Capability.h"

namespace strobe {

/** True if the schedule says kernel(general). */
bool asks_for_general(const Schedule &schedule);

/** True if the schedule has directives that only the warp-specialised form follows. */
bool asks_for_warp_roles(const Schedule &schedule);

/** One way to run a general kernel, with its relative time a block: its beginning, and each tile of the stream. */
struct GeneralPlan {
    Schedule schedule;
    Choices choices;
    TileProgram program;
    double cost_per_unit = 1, cost_per_tile = 0;
};

/** The compilation's own plan, and others that the launcher may prefer for its number of points of a shared axis and
 * of blocks, if the schedule leaves these open. */
std::vector<GeneralPlan> plans_of_general(const Compilation &c, const Capability &machine, const Schedule &schedule);

/** As compile(). Throws UserError also if no tiles fit. */
Compilation compile_general(const std::vector<Halide::Func> &outputs, const Capability &machine,
                            const Schedule &schedule);

}  // namespace strobe

#endif
