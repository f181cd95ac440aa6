#include "Compile.h"

#include "CompileCuda.h"
#include "Reference.h"
#include "algorithm/ReadAlgorithm.h"
#include "autoscheduler/Search.h"
#include "derivation/DeriveOnline.h"
#include "derivation/SlowParts.h"
#include "lower/LaunchPackage.h"
#include "lower/Lower.h"
#include "lower/ReplaceNest.h"
#include "lower/cpu/LowerCpu.h"
#include "schedule/PrintSchedule.h"
#include "support/Error.h"
#include "support/Log.h"
#include "tile/BuildTiles.h"
#include "tile/PrintTiles.h"
#include "tile/VerifyTiles.h"

#include <chrono>

namespace strobe {

using namespace Halide;
using namespace Halide::Internal;

namespace {

/** Names a stage and its time with STROBE_DEBUG=1. */
class Stage {
    const char *const name;
    const std::chrono::steady_clock::time_point start = std::chrono::steady_clock::now();

public:
    explicit Stage(const char *n)
        : name(n) {
    }
    ~Stage() {
        const std::chrono::duration<double, std::milli> time = std::chrono::steady_clock::now() - start;
        strobe_debug(1) << "stage: " << name << " " << time.count() << " ms\n";
    }
};

void refuse_other_targets(const Target &target) {
    const bool other_gpu = target.has_gpu_feature() && !target.has_feature(Target::CUDA);
    if (other_gpu || target.arch == Target::Hexagon) {
        strobe_user_error() << "There is no code generator for the target " << target.to_string()
                            << ". Supported: CPUs (e.g. host), and NVIDIA GPUs through the feature cuda.";
    }
}

}  // namespace

std::string Compilation::explanation() const {
    std::ostringstream text;
    text << "derivation\n";
    for (const Fact &f : plan.facts) {
        text << "  " << f.subject << "  " << f.rule << ": " << f.text << "\n";
    }
    text << "schedule\n"
         << to_string(schedule) << "\nprogram\n"
         << program;
    return text.str();
}

Compilation compile(const std::vector<Func> &outputs, const Target &target, const Schedule &schedule) {
    strobe_user_assert(!outputs.empty()) << "There is no output to compile.";
    refuse_other_targets(target);
    Compilation c;
    {
        Stage stage("read algorithm");
        c.graph = read_algorithm(outputs);
    }
    {
        Stage stage("derive");
        c.plan = derive_online(c.graph);
        c.warnings = slow_parts(c.graph, c.plan);
    }
    {
        Stage stage("schedule");
        const Capability capability = capability_of(target);
        const ScheduleChoice chosen = strobe::autoschedule(c.graph, c.plan, capability, Shape(), schedule);
        c.choices = chosen.choices;
        c.schedule = chosen.schedule;
    }
    {
        Stage stage("build tiles");
        c.program = build_tiles(outputs.front().name(), c.graph, c.plan, c.choices);
        verify_tiles(c.program);
    }
    strobe_debug(2) << c.explanation();
    return c;
}

void autoschedule(Pipeline pipeline, const Target &target, const Schedule &schedule) {
    if (target.has_feature(Target::CUDA)) {
        const CudaCompilation c = compile_cuda(pipeline.outputs(), target, schedule);
        for (const std::string &warning : c.warnings) {
            strobe_debug(0) << "warning: " << warning << "\n";
        }
        compute_reductions_at_root(pipeline.outputs());
        install_package(pipeline, c.package, target);
        return;
    }
    const Compilation c = compile(pipeline.outputs(), target, schedule);
    for (const std::string &warning : c.warnings) {
        strobe_debug(0) << "warning: " << warning << "\n";
    }
    Stmt nest;
    {
        Stage stage("lower");
        nest = run_lower_passes(cpu_passes(), lower_cpu(c.program, c.choices, target));
    }
    compute_reductions_at_root(pipeline.outputs());
    install_nest(pipeline, nest);
}

}  // namespace strobe
