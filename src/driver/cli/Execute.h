#ifndef STROBE_DRIVER_CLI_EXECUTE_H
#define STROBE_DRIVER_CLI_EXECUTE_H

/** \file
 * One algorithm on one problem: scheduled by Strobe, unscheduled, or in float64. */

#include "Commands.h"

namespace strobe {

struct Result {
    std::vector<Halide::Buffer<>> outputs;
    double compile_seconds = 0;
    double seconds = 0;  // of one run, the least of all runs
    int runs = 0;
};

/** An instance with its inputs bound. Runs of the same request see the same data. */
Instance prepare(const std::string &algorithm, const std::map<std::string, std::string> &params,
                 const Request &request);

/** Scheduled by Strobe. Repeats for about \p seconds, at least once after a first run. */
Result run_scheduled(const Request &request, Instance instance, double seconds);

/** Halide's plainest schedule; once. */
Result run_unscheduled(const Request &request, Instance instance, bool strict);

/** As run_unscheduled, every intermediate in float64. */
Result run_float64(const Request &request, Instance instance);

/** Multiply-adds count two: 2 * (D + Dv) * Sq * Sk * H * B, masked or not. */
double dense_flops(Instance &instance, const Problem &problem);

}  // namespace strobe

#endif
