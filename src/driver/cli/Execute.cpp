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
    autoschedule(instance.pipeline, target, requested_schedule(request));
    const double scheduled = scheduling.seconds();
    Result result = run(instance.pipeline, make_outputs(instance, instance.outputs, request.problem), target, seconds);
    result.compile_seconds += scheduled;
    return result;
}

Result run_unscheduled(const Request &request, Instance instance) {
    compute_reductions_at_root(instance.outputs);
    return run(instance.pipeline, make_outputs(instance, instance.outputs, request.problem), reference_target(), 0);
}

Result run_float64(const Request &request, Instance instance) {
    const std::vector<Func> wide = widen_to_float64(instance.outputs);
    compute_reductions_at_root(wide);
    return run(Pipeline(wide), make_outputs(instance, wide, request.problem), reference_target(), 0);
}

Verdict judge(size_t n, const Result &ours, const Result &unscheduled, const Result &exact) {
    double magnitude = 0;
    for (int64_t k = 0; k < int64_t(exact.outputs[n].number_of_elements()); k++) {
        const double x = std::abs(element(exact.outputs[n], k));
        magnitude = std::isfinite(x) ? std::max(magnitude, x) : magnitude;
    }
    const Buffer<> &got = ours.outputs[n];
    const double own = difference(unscheduled.outputs[n], exact.outputs[n]).largest;
    Verdict verdict;
    verdict.to_unscheduled = difference(got, unscheduled.outputs[n]).largest;
    verdict.to_float64 = difference(got, exact.outputs[n]).largest;
    // The exponents are float32 numbers of about 16, so that their rounding alone changes a
    // weight by 16 units. lse is a float32 near 10; the scores' operands are exact.
    // Sums of values have their weights rounded to the tensors' type, whatever they are stored in.
    const bool statistic = got.type() == Float(32) && got.dimensions() < ours.outputs[0].dimensions();
    const Type rounded = statistic ? got.type() : ours.outputs[0].type();
    const double units = 2 * unit_roundoff(rounded) + 16 * unit_roundoff(Float(32));
    verdict.allowed = 2 * own + units * magnitude;
    // Statistics of a row, such as lse, sum up the roundings of as many scores as it has.
    if (statistic) {
        verdict.allowed = std::max(verdict.allowed, 1e-3);
    }
    return verdict;
}

double dense_flops(Instance &instance, const Problem &p) {
    return AxisLengths(instance, p).dense_flops();
}

}  // namespace strobe
