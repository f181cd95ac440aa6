/** \file
 * Every algorithm under every CPU schedule at several lengths:
 * <algorithm>/<schedule>/<type>/S:<length>/D:<head dim>. */

#include "driver/Compile.h"
#include "driver/Problem.h"
#include "schedule/ParseSchedule.h"
#include "support/Error.h"

#include <benchmark/benchmark.h>

#include <filesystem>
#include <iostream>
#include <memory>

using namespace Halide;

void register_compilations();

namespace {

struct Case {
    std::string algorithm, schedule, type;  // schedule: a file, or empty for the automatic one
    int length, head_dim, heads;

    std::string label() const {
        const std::string name = schedule.empty() ? "automatic" : std::filesystem::path(schedule).stem().string();
        return algorithm + "/" + name + "/" + type + "/S:" + std::to_string(length) + "/D:" + std::to_string(head_dim);
    }
};

/** A compiled case with its data: Google Benchmark enters a case several times. */
struct Prepared {
    strobe::Instance instance;
    std::vector<Buffer<>> outputs;
    std::unique_ptr<Realization> realization;
    double flops = 0;
};

std::unique_ptr<Prepared> prepare(const Case &c) {
    const Target target = get_host_target();
    auto made = std::make_unique<Prepared>();
    made->instance =
        strobe::build_algorithm(c.algorithm, {{"dtype", c.type}, {"head_dim", std::to_string(c.head_dim)}}, target);
    strobe::Problem problem;
    problem.heads = problem.kv_heads = c.heads;
    problem.queries = problem.keys = c.length;
    strobe::bind_inputs(made->instance, problem);
    strobe::autoschedule(made->instance.pipeline, target,
                         c.schedule.empty() ? strobe::Schedule() : strobe::load_schedule(c.schedule));
    made->instance.pipeline.compile_jit(target);
    made->outputs = strobe::make_outputs(made->instance, made->instance.outputs, problem);
    made->realization = std::make_unique<Realization>(made->outputs);
    made->flops = 4.0 * c.head_dim * c.length * c.length * c.heads;
    return made;
}

void run(benchmark::State &state, const Case &c) {
    static std::string label;
    static std::unique_ptr<Prepared> prepared;  // of the last case only: their data is large
    try {
        if (label != c.label()) {
            prepared.reset();
            label = c.label();
            prepared = prepare(c);
        }
    } catch (const strobe::UserError &error) {
        state.SkipWithError(error.what());
        return;
    }
    if (!prepared) {
        state.SkipWithError("did not compile");
        return;
    }
    const Target target = get_host_target();
    for (auto _ : state) {
        prepared->instance.pipeline.realize(Pipeline::RealizationArg(*prepared->realization), target);
    }
    // As if no tile were dead: masked variants can exceed what the machine computes.
    state.counters["dense_flops"] = benchmark::Counter(prepared->flops, benchmark::Counter::kIsIterationInvariantRate);
    state.counters["H"] = c.heads;
}

/** The automatic schedule, and the files named after the algorithm. */
std::vector<std::string> schedules_of(const std::string &algorithm) {
    std::vector<std::string> found = {""};
    const std::filesystem::path folder = std::filesystem::path(STROBE_SCHEDULES) / "cpu";
    if (std::filesystem::is_directory(folder)) {
        for (const auto &entry : std::filesystem::directory_iterator(folder)) {
            if (entry.path().stem().string() == algorithm) {
                found.push_back(entry.path().string());
            }
        }
    }
    return found;
}

void register_cases() {
    for (const std::string &algorithm : strobe::registered_algorithms()) {
        for (const std::string &schedule : schedules_of(algorithm)) {
            for (const int head_dim : {64, 128}) {
                for (const int length : {512, 1024, 2048, 4096}) {
                    const Case c = {algorithm, schedule, "fp32", length, head_dim, 4};
                    benchmark::RegisterBenchmark(c.label().c_str(), [c](benchmark::State &state) { run(state, c); })
                        ->Unit(benchmark::kMillisecond)
                        ->UseRealTime();
                }
            }
        }
    }
}

}  // namespace

int main(int argc, char **argv) {
    register_cases();
    register_compilations();
    benchmark::Initialize(&argc, argv);
    if (benchmark::ReportUnrecognizedArguments(argc, argv)) {
        return 1;
    }
    benchmark::RunSpecifiedBenchmarks();
    benchmark::Shutdown();
    return 0;
}
