/** \file
 * Time from an algorithm to a loadable kernel package for the GPU:
 * compile/<algorithm>/<architecture>/D:<head dim>. */

#include "driver/CompileCuda.h"
#include "driver/Instance.h"
#include "support/Error.h"

#include <benchmark/benchmark.h>

using namespace Halide;

namespace {

void compile_once(benchmark::State &state, const std::string &algorithm, int head_dim) {
    const Target target = get_host_target().with_feature(Target::CUDA);
    size_t bytes = 0;
    try {
        for (auto _ : state) {
            strobe::Instance instance =
                strobe::build_algorithm(algorithm, {{"head_dim", std::to_string(head_dim)}}, target);
            const strobe::CudaCompilation made = strobe::compile_cuda(instance.outputs, target);
            bytes = strobe::serialize_package(made.package).size();
        }
    } catch (const strobe::UserError &error) {
        state.SkipWithError(error.what());
        return;
    }
    state.counters["bytes"] = static_cast<double>(bytes);
}

}  // namespace

void register_compilations() {
    for (const std::string &algorithm : strobe::registered_algorithms()) {
        for (const int head_dim : {64, 128}) {
            const std::string name = "compile/" + algorithm + "/sm_90a/D:" + std::to_string(head_dim);
            benchmark::RegisterBenchmark(
                name.c_str(),
                [algorithm, head_dim](benchmark::State &state) { compile_once(state, algorithm, head_dim); })
                ->Unit(benchmark::kMillisecond)
                ->UseRealTime();
        }
    }
}
