#ifndef STROBE_DRIVER_COMPILE_H
#define STROBE_DRIVER_COMPILE_H

/** \file
 * The one entry that runs the stages: Halide Funcs in, a tile program out, and from
 * there into any Halide Pipeline. */

#include "autoscheduler/Search.h"
#include "derivation/Plan.h"
#include "schedule/Schedule.h"
#include "tile/TileProgram.h"

namespace strobe {

/** What each stage made of an algorithm. */
struct Compilation {
    ReductionGraph graph;
    Plan plan;
    // On a GPU, one or more that the launcher picks among by length; on a CPU one. As given, completed by what
    // was chosen.
    ScheduleSet schedules;
    std::vector<TileProgram> programs;  // one for each of the schedules

    // Of the first schedule, which serves the most lengths.
    Schedule schedule;
    Choices choices;
    TileProgram program;
    std::vector<std::string> warnings;  // what is legal but slow

    /** The derivation with its reasons, the schedules and the first one's tile program. */
    std::string explanation() const;
};

/** Reads, derives, schedules and builds tiles. Throws UserError for an algorithm
 * outside the model, an illegal schedule, or a target without a backend. */
Compilation compile(const std::vector<Halide::Func> &outputs, const Halide::Target &target,
                    const Schedule &schedule = {});

/** Makes \p pipeline compile to our code for \p target: realize, compile_to_* and
 * Generators then produce it. Prints warnings about what is legal but slow. Gives the pipeline's Funcs the schedule that lets
 * Halide generate its checks around it, so build the algorithm anew to run it unscheduled. Returns what was made of it. */
Compilation autoschedule(Halide::Pipeline pipeline, const Halide::Target &target, const Schedule &schedule = {});

}  // namespace strobe

#endif
