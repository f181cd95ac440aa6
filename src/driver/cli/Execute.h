#ifndef STROBE_DRIVER_CLI_EXECUTE_H
#define STROBE_DRIVER_CLI_EXECUTE_H

/** \file
 * One algorithm on one problem: scheduled by Strobe, unscheduled, or in float64. */

#include "Commands.h"
#include "driver/ErrorRule.h"
#include "tile/TileProgram.h"

namespace strobe {

struct Result {
    std::vector<Halide::Buffer<>> outputs;
    double compile_seconds = 0;
    double seconds = 0;  // of one run, the least of all runs
    int runs = 0;
    TileProgram program;  // of run_scheduled
};

/** An instance with its inputs bound. Runs of the same request see the same data. */
Instance prepare(const std::string &algorithm, const std::map<std::string, std::string> &params,
                 const Request &request);

/** "" if a CUDA device can be used, else why not. */
std::string missing_gpu();

/** Scheduled by Strobe. Repeats for about \p seconds, at least once after a first run; 0 runs it once.
 * The outputs end in host memory. Throws RuntimeFailure if the target needs a GPU and there is none. */
Result run_scheduled(const Request &request, Instance instance, double seconds);

/** Halide's plainest schedule, once. In strict float: these algorithms rely on infinities, which LLVM may
 * otherwise assume away (on AVX-512 it does, and the results are wrong). */
Result run_unscheduled(const Request &request, Instance instance);

/** The same with the operands of products in the tensors' type, as the program of a schedule rounds them. */
Result run_unfused(const Request &request, Instance instance, const TileProgram &program);

/** As run_unscheduled, every intermediate in float64. */
Result run_float64(const Request &request, Instance instance);

/** Multiply-adds of contractions count two, masked or not. */
double dense_flops(Instance &instance, const Problem &problem);

}  // namespace strobe

#endif
