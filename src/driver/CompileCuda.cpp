#include "CompileCuda.h"

#include "device/Capability.h"
#include "lower/cuda/LowerCuda.h"
#include "schedule/PrintSchedule.h"
#include "support/Error.h"
#include "support/Log.h"

#include <chrono>

namespace strobe {

using namespace Halide;

namespace {

constexpr const char *architecture = "sm_90a";

void refuse_other_architectures(const Target &target) {
    const Capability capability = capability_of(target);
    strobe_user_assert(capability.name == architecture)
        << "There is no code generator for " << capability.name << " (" << capability.text
        << "): kernels are made for " << architecture
        << ", which a Halide target with the feature cuda and no cuda_capability stands for, and for CPUs.";
}

/** The machine code, or the PTX where there is no assembler. */
void assemble_package(CudaCompilation &c) {
    const auto start = std::chrono::steady_clock::now();
    std::optional<Assembly> assembly = assemble(c.ptx, architecture);
    if (!assembly) {
        c.package.code = c.ptx;
        c.package.is_ptx = true;
        return;
    }
    const std::chrono::duration<double, std::milli> time = std::chrono::steady_clock::now() - start;
    strobe_debug(1) << "stage: ptxas " << time.count() << " ms\n";
    c.package.code = std::move(assembly->cubin);
    c.package.is_ptx = false;
    c.kernels = assembly->kernels;
    for (const KernelStatistics &k : c.kernels) {
        if (k.spill_store_bytes + k.spill_load_bytes > 0) {
            c.warnings.push_back(k.entry + " spills registers to memory: " + std::to_string(k.spill_store_bytes) +
                                 " bytes stored, " + std::to_string(k.spill_load_bytes) +
                                 " loaded; a smaller stream tile or more registers (warps) may help");
        }
    }
    c.warnings.insert(c.warnings.end(), assembly->warnings.begin(), assembly->warnings.end());
}

}  // namespace

std::string CudaCompilation::statistics() const {
    std::ostringstream text;
    for (const KernelStatistics &k : kernels) {
        text << k.entry << ": " << k.registers << " registers at launch, " << k.barriers << " named barriers, "
             << k.spill_store_bytes + k.spill_load_bytes << " bytes spilled\n";
    }
    if (kernels.empty()) {
        text << "no ptxas: the driver will assemble " << ptx.size() << " bytes of PTX\n";
    }
    for (const std::string &w : warnings) {
        text << "warning: " << w << "\n";
    }
    return text.str();
}

CudaCompilation compile_cuda(const std::vector<Func> &outputs, const Target &target, const Schedule &schedule,
                             const std::string &name) {
    refuse_other_architectures(target);
    CudaCompilation c;
    c.stages = compile(outputs, target, schedule);
    CudaCandidate candidate{c.stages.program, c.stages.choices, to_string(c.stages.schedule)};
    if (!name.empty()) {
        candidate.program.name = name;
    }
    const auto start = std::chrono::steady_clock::now();
    c.package = lower_cuda({candidate});
    const std::chrono::duration<double, std::milli> time = std::chrono::steady_clock::now() - start;
    strobe_debug(1) << "stage: lower to PTX " << time.count() << " ms\n";
    c.ptx = c.package.code;
    assemble_package(c);
    return c;
}

}  // namespace strobe
