#include "IntrinsicTable.h"

#include "support/Error.h"

namespace strobe::device {

namespace {

/** Instructions that only place their operands: {r} result, {0} {1} .. arguments,
 * {c0} {c1} .. constants, {id} a unique number. */
const std::map<std::string, std::string> &simple_instructions() {
    static const std::map<std::string, std::string> table = {
        // Arithmetic.
        {"fmax", "max.f32 {r}, {0}, {1};"},
        {"fmin", "min.f32 {r}, {0}, {1};"},
        // Clamped to 0 .. 1; a NaN becomes 0.
        {"add_saturated", "add.sat.f32 {r}, {0}, {1};"},
        {"fma_saturated", "fma.rn.sat.f32 {r}, {0}, {1}, {2};"},
        {"tanh", "tanh.approx.f32 {r}, {0};"},
        // Of a positive number, to 2^-12.9, without the special-function unit: a guess from the bits, within a
        // twentieth, and one step of third order. Numbers beyond 2^125 count as that.
        {"reciprocal_narrow",
         "{ .reg .b32 %sy, %sg, %sn, %sh; min.NaN.f32 %sy, {0}, 0f7E000000; sub.s32 %sg, 0x7EF31000, %sy; "
         "neg.f32 %sn, %sg; fma.rn.f32 %sh, %sy, %sn, 0f3F800000; fma.rn.f32 %sh, %sh, %sh, %sh; "
         "fma.rn.f32 {r}, %sg, %sh, %sg; }"},
        {"pack", "cvt.rn.{c0}x2.f32 {r}, {1}, {0};"},
        {"from_f16", "{ .reg .b16 %sl, %sh; mov.b32 {%sl, %sh}, {0}; cvt.f32.f16 {r}, %sl; }"},
        {"join", "mov.b64 {r}, {{0}, {1}};"},
        // Between lanes.
        {"shuffle_xor", "shfl.sync.bfly.b32 {r}, {0}, {c0}, 31, -1;"},
        {"shuffle_from", "shfl.sync.idx.b32 {r}, {0}, {1}, 31, -1;"},
        {"ballot", "{ .reg .pred %sp; setp.ne.s32 %sp, {0}, 0; vote.sync.ballot.b32 {r}, %sp, -1; }"},
        {"first_bit", "{ .reg .b32 %sa; brev.b32 %sa, {0}; clz.b32 {r}, %sa; }"},
        // Memory.
        {"load_global$f32", "ld.global.nc.b32 {r}, [{0}];"},
        {"load_global$s32", "ld.global.nc.b32 {r}, [{0}];"},
        {"load_global$u32", "ld.global.nc.b32 {r}, [{0}];"},
        {"load_global$s64", "ld.global.nc.b64 {r}, [{0}];"},
        {"load_global$u64", "ld.global.nc.b64 {r}, [{0}];"},
        {"load_global$s8", "{ .reg .s16 %sh; ld.global.nc.s8 %sh, [{0}]; cvt.s32.s16 {r}, %sh; }"},
        {"load_global$u8", "{ .reg .u16 %sh; ld.global.nc.u8 %sh, [{0}]; cvt.u32.u16 {r}, %sh; }"},
        {"load_global$s16", "{ .reg .s16 %sh; ld.global.nc.s16 %sh, [{0}]; cvt.s32.s16 {r}, %sh; }"},
        {"load_global$u16", "{ .reg .u16 %sh; ld.global.nc.u16 %sh, [{0}]; cvt.u32.u16 {r}, %sh; }"},
        {"load_global$bf16", "{ .reg .b16 %sh; ld.global.nc.b16 %sh, [{0}]; mov.b32 {r}, {0, %sh}; }"},
        {"load_global$f16", "{ .reg .b16 %sh; ld.global.nc.b16 %sh, [{0}]; cvt.f32.f16 {r}, %sh; }"},
        {"load_global_if$b32", "{ .reg .pred %sp; setp.ne.s32 %sp, {1}, 0; mov.b32 {r}, 0; "
                               "@%sp ld.global.nc.b32 {r}, [{0}]; }"},
        {"load_global_if$bf16", "{ .reg .pred %sp; .reg .b16 %sh; setp.ne.s32 %sp, {1}, 0; mov.b16 %sh, 0; "
                                "@%sp ld.global.nc.b16 %sh, [{0}]; mov.b32 {r}, {0, %sh}; }"},
        {"load_global_if$f16", "{ .reg .pred %sp; .reg .b16 %sh; setp.ne.s32 %sp, {1}, 0; mov.b16 %sh, 0; "
                               "@%sp ld.global.nc.b16 %sh, [{0}]; cvt.f32.f16 {r}, %sh; }"},
        {"load_workspace", "ld.global.b32 {r}, [{0}];"},
        {"store_global", "st.global.b32 [{0}], {1};"},
        {"store_global16", "{ .reg .b16 %sl, %sh; mov.b32 {%sl, %sh}, {1}; st.global.b16 [{0}], %sl; }"},
        {"load_shared", "ld.shared.b32 {r}, [{0}];"},
        {"clear_shared16", "{ .reg .b32 %sz; mov.b32 %sz, 0; st.shared.v4.b32 [{0}], {%sz, %sz, %sz, %sz}; }"},
        {"store_shared", "st.shared.b32 [{0}], {1};"},
        {"atomic_add", "atom.global.add.u32 {r}, [{0}], {1};"},
        {"prefetch", "prefetch.global.L2 [{0}];"},
        {"copy_async", "cp.async.cg.shared.global [{0}], [{1}], 16, {2};"},
        {"copy_async_word", "cp.async.ca.shared.global [{0}], [{1}], 4, {2};"},
        {"copy_commit", "cp.async.commit_group;"},
        {"copy_wait_group", "cp.async.wait_group {c0};"},
        {"copy_wait", "cp.async.wait_all;"},
        {"shared_base", "mov.u32 {r}, strobe_shared;"},
        // Control and barriers.
        {"barrier_init", "mbarrier.init.shared::cta.b64 [{0}], {1};"},
        {"barrier_init_fence", "fence.mbarrier_init.release.cluster;\nfence.proxy.async;"},
        {"barrier_expect", "mbarrier.arrive.expect_tx.shared::cta.b64 _, [{0}], {1};"},
        {"barrier_arrive", "mbarrier.arrive.shared::cta.b64 _, [{0}];"},
        {"barrier_arrive_if",
         "{ .reg .pred %sp; setp.ne.s32 %sp, {1}, 0; @%sp mbarrier.arrive.shared::cta.b64 _, [{0}]; }"},
        {"barrier_wait",
         "{ .reg .pred %sp;\nSTROBE_WAIT_{id}:\nmbarrier.try_wait.parity.shared::cta.b64 %sp, [{0}], {1};\n"
         "@%sp bra STROBE_DONE_{id};\nbra STROBE_WAIT_{id};\nSTROBE_DONE_{id}: }"},
        {"label", "STROBE_{c0}:"},
        {"branch_if", "{ .reg .pred %sp; setp.ne.s32 %sp, {0}, 0; @%sp bra STROBE_{c0}; }"},
        {"nothing", ""},
        {"grid_wait", "griddepcontrol.wait;"},
        {"grid_release", "griddepcontrol.launch_dependents;"},
        {"sync_threads", "bar.sync 0;"},
        {"sync_warp", "bar.warp.sync -1;"},
        {"named_sync", "bar.sync {0}, {1};"},
        {"named_arrive", "bar.arrive {0}, {1};"},
        // Bulk tensor copies.
        {"tensor_load$1", "cp.async.bulk.tensor.1d.shared::cluster.global.mbarrier::complete_tx::bytes [{0}], "
                          "[{1}, {{3}}], [{2}];"},
        {"tensor_load$2", "cp.async.bulk.tensor.2d.shared::cluster.global.mbarrier::complete_tx::bytes [{0}], "
                          "[{1}, {{3}, {4}}], [{2}];"},
        {"tensor_load$3", "cp.async.bulk.tensor.3d.shared::cluster.global.mbarrier::complete_tx::bytes [{0}], "
                          "[{1}, {{3}, {4}, {5}}], [{2}];"},
        {"tensor_load$4", "cp.async.bulk.tensor.4d.shared::cluster.global.mbarrier::complete_tx::bytes [{0}], "
                          "[{1}, {{3}, {4}, {5}, {6}}], [{2}];"},
        {"tensor_load$5", "cp.async.bulk.tensor.5d.shared::cluster.global.mbarrier::complete_tx::bytes [{0}], "
                          "[{1}, {{3}, {4}, {5}, {6}, {7}}], [{2}];"},
        {"tensor_store$2", "cp.async.bulk.tensor.2d.global.shared::cta.bulk_group [{1}, {{2}, {3}}], [{0}];"},
        {"tensor_store$3", "cp.async.bulk.tensor.3d.global.shared::cta.bulk_group [{1}, {{2}, {3}, {4}}], [{0}];"},
        {"tensor_store$4",
         "cp.async.bulk.tensor.4d.global.shared::cta.bulk_group [{1}, {{2}, {3}, {4}, {5}}], [{0}];"},
        {"tensor_store$5",
         "cp.async.bulk.tensor.5d.global.shared::cta.bulk_group [{1}, {{2}, {3}, {4}, {5}, {6}}], [{0}];"},
        {"bulk_load", "cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes [{0}], [{1}], {2}, [{3}];"},
        {"tensor_prefetch", "prefetch.tensormap [{0}];"},
        {"bulk_commit", "cp.async.bulk.commit_group;"},
        {"bulk_wait_read", "cp.async.bulk.wait_group.read 0;"},
        {"bulk_wait", "cp.async.bulk.wait_group 0;"},
        {"fence_shared", "fence.proxy.async.shared::cta;"},
        {"fence_copies", "fence.proxy.async;"},
        // Warpgroups.
        {"registers_grow", "setmaxnreg.inc.sync.aligned.u32 {c0};"},
        {"registers_shrink", "setmaxnreg.dec.sync.aligned.u32 {c0};"},
        {"wgmma_fence", "wgmma.fence.sync.aligned;"},
        {"wgmma_commit", "wgmma.commit_group.sync.aligned;"},
        {"wgmma_wait", "wgmma.wait_group.sync.aligned {c0};"},
        // The same at the head of a loop that is never repeated ({0} is never negative):
        // ptxas moves the wait freely inside a basic block, up to before the work
        // that is meant to run under the contraction.
        {"wgmma_wait_here",
         "STROBE_HERE_{id}:\nwgmma.wait_group.sync.aligned {c0};\n"
         "{ .reg .pred %sp; setp.lt.s32 %sp, {0}, 0; @%sp bra STROBE_HERE_{id}; }"},
        // Work before it and behind it stays apart: the head of a loop that is never repeated, too.
        {"keep_apart",
         "STROBE_APART_{id}:\n{ .reg .pred %sp; setp.lt.s32 %sp, {0}, 0; @%sp bra STROBE_APART_{id}; }"},
    };
    return table;
}

std::string fill(const std::string &form, const IntrinsicCall &call) {
    std::string text;
    for (size_t i = 0; i < form.size(); i++) {
        const size_t close = form[i] == '{' ? form.find('}', i) : std::string::npos;
        const std::string key = close == std::string::npos ? "" : form.substr(i + 1, close - i - 1);
        std::string value;
        if (key == "r") {
            value = call.result;
        } else if (key == "id") {
            value = std::to_string(call.id);
        } else if (key.size() == 2 && key[0] == 'c' && isdigit(key[1])) {
            value = call.constants.at(key[1] - '0');
        } else if (key.size() == 1 && isdigit(key[0])) {
            value = call.arguments.at(key[0] - '0');
        } else {
            text += form[i];
            continue;
        }
        text += value;
        i = close;
    }
    return text;
}

std::string register_list(const IntrinsicCall &call, const std::string &name, int first, int count) {
    std::string text = "{";
    for (int i = 0; i < count; i++) {
        text += (i ? ", " : "") + call.named(name, first + i);
    }
    return text + "}";
}

/** D += A * B on one warpgroup, 64 x n x 16. A descriptor's argument is its low word;
 * the high word says: 128-byte swizzle, 1024 bytes between groups of eight rows.
 * wgmma_ss: constants type, n, D, accumulate, transposed-B; arguments A and B descriptors.
 * wgmma_rs: constants type, n, D, A, first A register, accumulate, transposed-B; argument B's descriptor. */
std::string wgmma(const IntrinsicCall &call) {
    const auto &c = call.constants;
    const int n = std::stoi(c.at(1));
    std::string text = "{ .reg .b64 %sd0, %sd1;";
    for (size_t i = 0; i < call.arguments.size(); i++) {
        text += " mov.b64 %sd" + std::to_string(i) + ", {" + call.arguments[i] + ", 0x40000040};";
    }
    text += "\n\twgmma.mma_async.sync.aligned.m64n" + c[1] + "k16.f32." + c[0] + "." + c[0] + " " +
            register_list(call, c[2], 0, n / 2) + ", ";
    if (call.op == "wgmma_ss") {
        return text + "%sd0, %sd1, " + c.at(3) + ", 1, 1, 0, " + c.at(4) + "; }";
    }
    return text + register_list(call, c.at(3), std::stoi(c.at(4)), 4) + ", %sd0, " + c.at(5) + ", 1, 1, " + c.at(6) + "; }";
}

/** Four 8 x 8 matrices of 16-bit elements: constants plain or trans, destination and its
 * first register; argument the address of one of their rows a lane. */
std::string ldmatrix(const IntrinsicCall &call) {
    const auto &c = call.constants;
    return std::string("ldmatrix.sync.aligned.m8n8.x4") + (c.at(0) == "trans" ? ".trans" : "") + ".shared.b16 " +
           register_list(call, c.at(1), std::stoi(c.at(2)), 4) + ", [" + call.arguments.at(0) + "];";
}

/** D += A * B on one warp, 16 x 8 x 16: constants type; D, its registers of the first and of
 * the second row; A and its first register; B and its first register. */
std::string mma(const IntrinsicCall &call) {
    const auto &c = call.constants;
    std::string sums = "{";
    for (int i = 0; i < 4; i++) {
        sums += (i ? ", " : "") + call.named(c.at(1), std::stoi(c.at(2 + i / 2)) + i % 2);
    }
    sums += "}";
    return "mma.sync.aligned.m16n8k16.row.col.f32." + c[0] + "." + c[0] + ".f32 " + sums + ", " +
           register_list(call, c.at(4), std::stoi(c.at(5)), 4) + ", " +
           register_list(call, c.at(6), std::stoi(c.at(7)), 2) + ", " + sums + ";";
}

/** 16 bytes between memory and four named registers: constants name and first register; argument the address. */
std::string move_row(const IntrinsicCall &call) {
    const std::string list = register_list(call, call.constants.at(0), std::stoi(call.constants.at(1)), 4);
    const std::string at = "[" + call.arguments.at(0) + "]";
    return call.op == "load_row"    ? "ld.global.nc.v4.b32 " + list + ", " + at + ";"
           : call.op == "store_row" ? "st.global.v4.b32 " + at + ", " + list + ";"
                                    : "st.shared.v4.b32 " + at + ", " + list + ";";
}

}  // namespace

std::string ptx_of(const IntrinsicCall &call) {
    const bool moves = call.op == "get" || call.op == "set";
    const std::string move = moves && is_wide_register(call.constants.at(0)) ? "mov.b64 " : "mov.b32 ";
    if (call.op == "get") {
        return move + call.result + ", " + call.named(call.constants.at(0), std::stoi(call.constants.at(1))) + ";";
    }
    if (call.op == "set") {
        const std::string to = call.named(call.constants.at(0), std::stoi(call.constants.at(1)));
        return move + to + ", " + call.arguments.at(0) + ";";
    }
    if (call.op == "pack_to") {
        return "cvt.rn." + call.constants.at(0) + "x2.f32 " +
               call.named(call.constants.at(1), std::stoi(call.constants.at(2))) + ", " + call.arguments.at(1) + ", " +
               call.arguments.at(0) + ";";
    }
    if (call.op == "load_row" || call.op == "store_row" || call.op == "store_shared_row") {
        return move_row(call);
    }
    if (call.op == "ldmatrix") {
        return ldmatrix(call);
    }
    if (call.op == "mma") {
        return mma(call);
    }
    if (call.op == "wgmma_ss" || call.op == "wgmma_rs") {
        return wgmma(call);
    }
    const auto &table = simple_instructions();
    auto found = table.find(call.op);
    if (found == table.end() && !call.constants.empty()) {
        found = table.find(call.op + "$" + call.constants[0]);
    }
    strobe_internal_assert(found != table.end()) << "no device intrinsic " << call.op;
    return fill(found->second, call);
}

}  // namespace strobe::device
