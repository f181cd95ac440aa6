#include "Capability.h"

#include "support/Error.h"
#include "support/NearestName.h"

namespace strobe {

using Halide::Target;

namespace {

constexpr int KiB = 1024;
constexpr int MiB = 1024 * KiB;

/** H200 (SXM): 132 multiprocessors at 1.83 GHz give the quoted 989 TFLOP/s of
 * dense bf16, which is 2048 multiply-adds a clock and multiprocessor. Under matrix
 * load the power limit holds it near 1.45 GHz (cuBLAS reaches 745-798 TFLOP/s). */
Capability sm_90a() {
    Capability c;
    c.name = "sm_90a";
    c.text = "NVIDIA H200";
    c.kind = Capability::Kind::Gpu;
    c.multiprocessors = 132;
    c.boost_ghz = 1.83;
    c.sustained_ghz = 1.45;
    c.fma_f32 = 128;
    c.special = 16;
    c.issue = 128;
    c.global_bytes_per_s = 4.8e12;
    c.l2_bytes_per_clk = 32;
    c.l1_bytes = 256 * KiB;
    c.l2_bytes = 50 * MiB;
    c.shared_bytes_per_block = 227 * KiB;
    c.shared_bytes = 228 * KiB;
    c.registers = 65536;
    c.threads = 2048;
    c.block_threads = 1024;
    c.bulk_copies = true;
    c.register_reallocation = true;
    c.matrix_units = {{"wgmma", 2048, 1024, 64, 32, 8, 256, 128}};
    return c;
}

/** A100 (SXM, 80 GB): 108 multiprocessors at 1.41 GHz, 312 TFLOP/s of dense bf16. */
Capability sm_80() {
    Capability c = sm_90a();
    c.name = "sm_80";
    c.text = "NVIDIA A100";
    c.multiprocessors = 108;
    c.boost_ghz = 1.41;
    c.sustained_ghz = 1.3;
    c.fma_f32 = 64;
    c.global_bytes_per_s = 2.0e12;
    c.l1_bytes = 192 * KiB;
    c.l2_bytes = 40 * MiB;
    c.shared_bytes_per_block = 163 * KiB;
    c.shared_bytes = 164 * KiB;
    c.bulk_copies = false;
    c.register_reallocation = false;
    c.matrix_units = {{"mma", 1024, 512, 64, 32, 8, 256, 128}};
    return c;
}

struct CpuRow {
    const char *name, *text;
    int vector_bytes;
    double fma_f32;
    int64_t l1_bytes, l2_bytes;
};

/** Caches are those of common servers, a core: a compiled schedule must not depend
 * on the machine that compiled it. */
const CpuRow cpu_rows[] = {
    {"x86-avx512", "x86 with AVX-512", 64, 32, 32 * KiB, 1 * MiB},
    {"x86-avx2", "x86 with AVX2 and FMA", 32, 16, 32 * KiB, 512 * KiB},
    {"x86-sse", "x86", 16, 4, 32 * KiB, 256 * KiB},
    {"arm-neon", "ARM with NEON", 16, 8, 64 * KiB, 512 * KiB},
    {"generic", "a CPU", 16, 4, 32 * KiB, 256 * KiB},
};

Capability cpu(const std::string &name) {
    for (const CpuRow &row : cpu_rows) {
        if (name != row.name) {
            continue;
        }
        Capability c;
        c.name = row.name;
        c.text = row.text;
        c.kind = Capability::Kind::Cpu;
        c.vector_bytes = row.vector_bytes;
        c.boost_ghz = c.sustained_ghz = 3.0;
        c.fma_f32 = row.fma_f32;
        c.issue = 3.0 * c.float_lanes();
        c.special = c.float_lanes() / 12.0;  // a polynomial of about a dozen vector instructions
        c.global_bytes_per_s = 2e10;
        c.l2_bytes_per_clk = 32;
        c.l1_bytes = row.l1_bytes;
        c.l2_bytes = row.l2_bytes;
        return c;
    }
    strobe_internal_error() << "no CPU row " << name;
}

Capability cpu_of(const Target &target) {
    if (target.arch == Target::X86) {
        if (target.features_any_of({Target::AVX512_Skylake, Target::AVX512_Cannonlake, Target::AVX512_Zen4,
                                    Target::AVX512_SapphireRapids})) {
            return cpu("x86-avx512");
        }
        return cpu(target.has_feature(Target::AVX2) ? "x86-avx2" : "x86-sse");
    }
    return cpu(target.arch == Target::ARM ? "arm-neon" : "generic");
}

std::vector<std::string> known_names() {
    std::vector<std::string> names = {"sm_80", "sm_90", "sm_90a", "cpu", "host"};
    for (const CpuRow &row : cpu_rows) {
        names.push_back(row.name);
    }
    return names;
}

}  // namespace

const MatrixUnit *Capability::matrix_unit(const std::string &unit) const {
    for (const MatrixUnit &u : matrix_units) {
        if (u.name == unit) {
            return &u;
        }
    }
    return nullptr;
}

Capability capability_of(const Target &target) {
    if (!target.has_gpu_feature()) {
        return cpu_of(target);
    }
    strobe_user_assert(target.has_feature(Target::CUDA))
        << "No capability row for the target " << target.to_string() << ": the GPU targets are CUDA's, "
        << "cuda_capability_80 and later (or leave the GPU feature out to compile for the CPU)";
    // Halide's newest name for a CUDA capability is 8.6: a plain "cuda" means the newest machine here.
    int capability = target.get_cuda_capability_lower_bound();
    strobe_user_assert(capability < 0 || capability == 20 || capability >= 80)
        << "No capability row for the target " << target.to_string() << ": matrix instructions need "
        << "cuda_capability_80 or later";
    bool ampere = target.has_feature(Target::CUDACapability80) || target.has_feature(Target::CUDACapability86);
    return ampere ? sm_80() : sm_90a();
}

Capability capability_of(const std::string &full_name) {
    std::string name = full_name.compare(0, 5, "cuda-") == 0 ? full_name.substr(5) : full_name;
    if (name == "sm_90a" || name == "sm_90" || name == "cuda") {
        return sm_90a();
    }
    if (name == "sm_80") {
        return sm_80();
    }
    if (name == "cpu" || name == "host") {
        return cpu_of(Halide::get_host_target());
    }
    for (const CpuRow &row : cpu_rows) {
        if (name == row.name) {
            return cpu(name);
        }
    }
    if (Target::validate_target_string(full_name)) {
        return capability_of(Target(full_name));
    }
    strobe_user_error() << "Unknown target " << full_name << suggestion_for(name, known_names());
}

}  // namespace strobe
