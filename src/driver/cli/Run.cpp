#include "Execute.h"
#include "Progress.h"
#include "schedule/ResolveNames.h"

#include <algorithm>
#include <cmath>
#include <cstdio>

namespace strobe {

using namespace Halide;

namespace {

/** Mean magnitude of the finite elements, and how many are not finite. */
void print_output(const std::string &name, const Buffer<> &buffer) {
    double sum = 0;
    int64_t finite = 0;
    const int64_t size = static_cast<int64_t>(buffer.number_of_elements());
    for (int64_t n = 0; n < size; n++) {
        const double x = element(buffer, n);
        if (std::isfinite(x)) {
            sum += std::abs(x);
            finite++;
        }
    }
    std::string shape;
    for (int d = 0; d < buffer.dimensions(); d++) {
        shape += (d ? " x " : "") + std::to_string(buffer.dim(d).extent());
    }
    std::printf("  %-5s %s, mean magnitude %.5f", name.c_str(), shape.c_str(), sum / std::max<int64_t>(1, finite));
    if (finite < size) {
        std::printf(", %lld not finite", static_cast<long long>(size - finite));
    }
    std::printf("\n");
}

}  // namespace

int run_command(Request request) {
    const std::map<std::string, std::string> params = take_params(request);
    Progress progress;
    for (const std::string &name : requested_algorithms(request)) {
        progress.step(name + ": compiling and running");
        Instance instance = prepare(name, params, request);
        const Result result = run_scheduled(request, instance, 0.2);
        progress.clear();
        std::printf("%s: %s (%.1f GFLOP/s, masked work included), compiled in %s\n", name.c_str(),
                    duration(result.seconds).c_str(), dense_flops(instance, request.problem) / result.seconds / 1e9,
                    duration(result.compile_seconds).c_str());
        for (size_t n = 0; n < result.outputs.size(); n++) {
            print_output(base_name(instance.outputs[n].name()), result.outputs[n]);
        }
    }
    return 0;
}

int check_command(Request request) {
    const std::map<std::string, std::string> params = take_params(request);
    Progress progress;
    int failures = 0;
    bool first = true;
    for (const std::string &name : requested_algorithms(request)) {
        auto instance = [&] { return prepare(name, params, request); };
        const std::vector<Func> outputs = instance().outputs;
        progress.step(name + ": scheduled by Strobe");
        const Result ours = run_scheduled(request, instance(), 0);
        progress.step(name + ": unscheduled");
        const Result reference = run_unfused(request, instance(), ours.program);
        progress.step(name + ": in float64");
        const Result exact = run_float64(request, instance());
        progress.clear();
        if (first) {
            std::printf("%-16s %-6s %13s %13s %13s\n", "", "", "to unsched.", "to float64", "allowed");
            first = false;
        }
        for (size_t n = 0; n < ours.outputs.size(); n++) {
            const std::string label = base_name(outputs[n].name());
            const Verdict verdict = judge(ours.outputs[n], reference.outputs[n], exact.outputs[n]);
            failures += !verdict.ok();
            std::printf("%-16s %-6s %13.3g %13.3g %13.3g  %s\n", n ? "" : name.c_str(), label.c_str(),
                        difference(ours.outputs[n], reference.outputs[n]).largest, verdict.to_float64, verdict.allowed, verdict.ok() ? "ok" : "WRONG");
        }
    }
    if (failures) {
        std::printf("%d outside the error rule\n", failures);
    }
    return failures ? 1 : 0;
}

}  // namespace strobe
