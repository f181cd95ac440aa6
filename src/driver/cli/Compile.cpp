#include "driver/CompileCuda.h"

#include "Commands.h"
#include "Progress.h"
#include "support/Error.h"
#include "support/Stage.h"

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <fstream>

namespace strobe {

using namespace Halide;

namespace {

bool is_package(const std::string &output) {
    return std::filesystem::path(output).extension() == ".skp";
}

void create_folder_of(const std::string &path) {
    const std::filesystem::path folder = std::filesystem::path(path).parent_path();
    if (!folder.empty()) {
        std::filesystem::create_directories(folder);
    }
}

void write_file(const std::string &path, const std::vector<uint8_t> &bytes) {
    std::ofstream file(path, std::ios::binary);
    file.write(reinterpret_cast<const char *>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
    if (!file.flush()) {
        strobe_runtime_failure() << "can't write " << path;
    }
}

/** "  PTX             441.2 ms, 438.0 ms at the same time" */
void print_timings(const StageReport &report, double seconds) {
    std::vector<std::pair<std::string, std::vector<double>>> stages;
    for (const StageTime &t : report.times()) {
        auto found = std::find_if(stages.begin(), stages.end(), [&](const auto &s) { return s.first == t.name; });
        if (found == stages.end()) {
            found = stages.insert(stages.end(), {t.name, {}});
        }
        found->second.push_back(t.milliseconds);
    }
    for (const auto &[name, times] : stages) {
        std::printf("  %-16s", name.c_str());
        for (size_t n = 0; n < times.size(); n++) {
            std::printf("%s%.1f ms", n ? ", " : "", times[n]);
        }
        std::printf("%s\n", name == "PTX" && times.size() > 1 ? " side by side" : "");
    }
    std::printf("  %-16s%.1f ms\n", "in all", 1e3 * seconds);
}

/** To a file that the runtime loads. */
void write_package(const CompileRequest &request, const Instance &instance, const Target &target,
                   const std::string &name) {
    strobe_user_assert(target.has_feature(Target::CUDA))
        << request.output << " would be a GPU kernel package, but the target is " << request.target
        << "; add --target cuda-sm_90a, or give an output without extension";
    Progress progress;
    const StageReport report;
    Stopwatch watch;
    progress.step("compiling " + instance.name + " for " + request.target);
    const CudaCompilation c = compile_cuda(instance.outputs, target, requested_schedule(request), name);
    const double seconds = watch.seconds();
    create_folder_of(request.output);
    write_file(request.output, serialize_package(c.package));
    progress.clear();
    if (request.verbose) {
        std::printf("%s%s", c.stages.explanation().c_str(), c.statistics().c_str());
    } else {
        for (const std::string &w : c.warnings) {
            std::fprintf(stderr, "warning: %s\n", w.c_str());
        }
    }
    const size_t plans = c.package.plans.size();
    std::printf("wrote %s in %s%s\n", request.output.c_str(), duration(seconds).c_str(),
                plans > 1 ? (": " + std::to_string(plans) + " plans, chosen by length at each launch").c_str() : "");
    if (request.timings) {
        print_timings(report, seconds);
    }
}

/** To code that any program with a Halide runtime links. */
void write_library(const CompileRequest &request, Instance &instance, const Target &target, const std::string &name) {
    const std::string base = request.output.empty() ? name : request.output;
    Progress progress;
    const StageReport report;
    Stopwatch watch;
    progress.step("compiling " + instance.name + " for " + request.target);
    autoschedule(instance.pipeline, target, requested_schedule(request));
    create_folder_of(base);
    {
        const Stage stage("Halide, LLVM");
        instance.pipeline.compile_to(
            {{OutputFileType::static_library, base + ".a"}, {OutputFileType::c_header, base + ".h"}},
            instance.arguments(), name, target);
    }
    progress.clear();
    std::printf("wrote %s.a and %s.h in %s\n", base.c_str(), base.c_str(), duration(watch.seconds()).c_str());
    if (request.timings) {
        print_timings(report, watch.seconds());
    }
    if (target.has_feature(Target::CUDA)) {
        std::printf("link it with libstrobe_runtime.a\n");
    }
}

}  // namespace

int compile_command(CompileRequest request) {
    const std::map<std::string, std::string> params = take_params(request);
    const std::string algorithm = request.algorithms.at(0);
    const Target target = parse_target(request.target);
    const std::string name = request.function_name.empty() ? algorithm : request.function_name;
    Instance instance = build_algorithm(algorithm, params, target);
    for (const auto &[scalar, value] : request.problem.scalars) {
        check_scalar(instance, scalar);
        strobe_user_error() << scalar << " is a scalar of the compiled function, given when it is called; only dtype, "
                            << "head_dim and value_dim are fixed here";
    }
    if (is_package(request.output)) {
        write_package(request, instance, target, name);
    } else {
        write_library(request, instance, target, name);
    }
    return 0;
}

}  // namespace strobe
