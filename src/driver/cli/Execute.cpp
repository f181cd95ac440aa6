#include "Execute.h"

#include "Progress.h"
#include "driver/AxisLengths.h"
#include "driver/Compile.h"
#include "driver/Reference.h"
#include "runtime/CudaDriver.h"
#include "support/Error.h"

#include <algorithm>
#include <cmath>

namespace strobe {

using namespace Halide;

namespace {

Result run(Pipeline pipeline, std::vector<Buffer<>> outputs, const Target &target, double seconds) {
    Result result;
    Stopwatch compiling;
    pipeline.compile_jit(target);
    result.compile_seconds = compiling.seconds();
    result.outputs = std::move(outputs);
    Realization realization(result.outputs);
    double total = 0;
    do {
        Stopwatch running;
        pipeline.realize(Pipeline::RealizationArg(realization), target);
        for (Buffer<> &b : result.outputs) {
            b.device_sync();
        }
        const double time = running.seconds();
        // The first run also pays for fresh memory and the thread pool.
        if (result.runs <= 1 || time < result.seconds) {
            result.seconds = time;
        }
        result.runs++;
        total += time;
    } while (seconds > 0 && (total < seconds || result.runs < 2));
    for (Buffer<> &b : result.outputs) {
        b.copy_to_host();
    }
    return result;
}

}  // namespace

Instance prepare(const std::string &algorithm, const std::map<std::string, std::string> &params,
                 const Request &request) {
    Instance instance = build_algorithm(algorithm, params, get_host_target());
    bind_inputs(instance, request.problem);
    return instance;
}

std::string missing_gpu() {
    try {
        cuda::driver();
        return "";
    } catch (const RuntimeFailure &e) {
        return e.what();
    }
}

Result run_scheduled(const Request &request, Instance instance, double seconds) {
    const Target target = parse_target(request.target);
    if (target.has_feature(Target::CUDA) && !missing_gpu().empty()) {
        strobe_runtime_failure() << "can't run on " << request.target << ": " << missing_gpu();
    }
    Stopwatch scheduling;
    const Compilation compiled = autoschedule(instance.pipeline, target, requested_schedule(request));
    const double scheduled = scheduling.seconds();
    Result result = run(instance.pipeline, make_outputs(instance, instance.outputs, request.problem), target, seconds);
    result.compile_seconds += scheduled;
    result.program = compiled.program;
    return result;
}

Result run_unscheduled(const Request &request, Instance instance) {
    const std::vector<Func> outputs = as_they_are(instance.outputs);
    compute_reductions_at_root(outputs);
    return run(Pipeline(outputs), make_outputs(instance, outputs, request.problem), reference_target(), 0);
}

Result run_unfused(const Request &request, Instance instance, const TileProgram &program) {
    const std::vector<Func> rounded = round_operands(instance.outputs, program);
    compute_reductions_at_root(rounded);
    return run(Pipeline(rounded), make_outputs(instance, rounded, request.problem), reference_target(), 0);
}

Result run_float64(const Request &request, Instance instance) {
    const std::vector<Func> wide = widen_to_float64(instance.outputs);
    compute_reductions_at_root(wide);
    return run(Pipeline(wide), make_outputs(instance, wide, request.problem), reference_target(), 0);
}

double dense_flops(Instance &instance, const Problem &p) {
    return AxisLengths(instance, p).dense_flops();
}

}  // namespace strobe
