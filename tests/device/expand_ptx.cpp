// From the PTX that Halide prints to the PTX that ptxas takes.

#include "device/ExpandPtx.h"

#include "device/Intrinsics.h"
#include "support/Error.h"

#include <gtest/gtest.h>

using namespace strobe::device;

namespace {

/** As LLVM prints a call of a function that is only declared. */
std::string call_of(const std::string &callee, const std::string &argument) {
    return "\t{ // callseq 0, 0\n"
           "\t.param .b32 param0;\n"
           "\tst.param.b32 \t[param0], " + argument + ";\n"
           "\t.param .b32 retval0;\n"
           "\tcall.uni (retval0), " + callee + ", (param0);\n"
           "\tld.param.b32 \t%r2, [retval0];\n"
           "\t} // callseq 0\n";
}

std::string module_of(const std::string &body) {
    return "//\n.version 7.1\n.target sm_86\n.address_size 64\n\n"
           ".extern .func  (.param .b32 func_retval0) strobe$tanh$$ff\n(\n\t.param .b32 strobe$tanh$$ff_param_0\n)\n;\n"
           ".visible .entry attend(\n\t.param .u64 attend_param_0,\n\t.param .u64 attend_param_1\n)\n"
           "{\n\t.reg .b32 \t%r<3>;\n\t.reg .b64 \t%rd<3>;\n"
           "\tld.param.u64 \t%rd1, [attend_param_0];\n\tld.param.u64 \t%rd2, [attend_param_1];\n" +
           body + "\tret;\n}\n";
}

PtxOptions options_with(std::vector<int> tensor_maps = {}) {
    PtxOptions options;
    options.entries["attend"] = {384, std::move(tensor_maps)};
    return options;
}

void expect_has(const std::string &ptx, const std::string &what) {
    EXPECT_NE(ptx.find(what), std::string::npos) << "no \"" << what << "\" in\n" << ptx;
}
void expect_lacks(const std::string &ptx, const std::string &what) {
    EXPECT_EQ(ptx.find(what), std::string::npos) << "\"" << what << "\" is left in\n" << ptx;
}

TEST(ExpandPtx, ReplacesCallsByInstructions) {
    const std::string ptx = expand_ptx(module_of(call_of("strobe$tanh$$ff", "%r1")), options_with());
    expect_has(ptx, "tanh.approx.f32 %r2, %r1;");
    expect_lacks(ptx, "call.uni");
    expect_lacks(ptx, "strobe$");
    expect_lacks(ptx, ".extern .func");
    expect_has(ptx, "\tret;\n}\n");
}

TEST(ExpandPtx, RaisesTheTarget) {
    const std::string ptx = expand_ptx(module_of(""), options_with());
    expect_has(ptx, ".version 8.7\n.target sm_90a\n");
    expect_has(ptx, ".extern .shared .align 1024 .b8 strobe_shared[];");
    expect_has(ptx, ".maxntid 384, 1, 1\n.minnctapersm 1\n{");
}

TEST(ExpandPtx, PassesTensorMapsByValue) {
    const std::string ptx = expand_ptx(module_of(""), options_with({1}));
    expect_has(ptx, "\t.param .u64 attend_param_0,");
    expect_has(ptx, "\t.param .align 64 .b8 attend_param_1[128]\n");
    expect_has(ptx, "mov.b64 %sa, attend_param_1; cvta.param.u64 %rd2, %sa;");
    expect_has(ptx, "ld.param.u64 \t%rd1, [attend_param_0];");
    expect_lacks(ptx, "[attend_param_1]");
}

TEST(ExpandPtx, DeclaresNamedRegisters) {
    const std::string set = call_of("strobe$set$S$41$$if", "%r1");
    const std::string get = call_of("strobe$get$S$7$$f", "%r1");
    const std::string ptx = expand_ptx(module_of(set + get), options_with());
    expect_has(ptx, ".reg .b32 \t%strobe_S_<42>;");
    expect_has(ptx, "mov.b32 %strobe_S_41, %r1;");
    expect_has(ptx, "mov.b32 %r2, %strobe_S_7;");
}

TEST(ExpandPtx, NumbersLabelsApart) {
    std::string wait = call_of("strobe$barrier_wait$$iii", "%r1");
    const std::string parity = "\tst.param.b32 \t[param1], 0;\n";
    wait.insert(wait.find("\t.param .b32 retval0"), parity);
    const std::string ptx = expand_ptx(module_of(wait + wait), options_with());
    expect_has(ptx, "STROBE_WAIT_0:");
    expect_has(ptx, "STROBE_WAIT_1:");
}

/** ptxas 13.0 takes max(max(a, -b), c) for max(max(a, b), c). */
TEST(ExpandPtx, KeepsNestedIntegerMaximaApart) {
    const std::string apart = "xor.b32 %sz, %sz, %r5; max.s32 %r6, %sz, %r3; }";
    const std::string ptx = expand_ptx(module_of("\tneg.s32 \t%r4, %r2;\n\tmax.s32 \t%r5, %r1, %r4;\n"
                                                 "\tmax.s32 \t%r6, %r5, %r3;\n\tmin.s32 \t%r7, %r1, %r2;\n"),
                                       options_with());
    expect_has(ptx, apart);
    expect_has(ptx, "\tmax.s32 \t%r5, %r1, %r4;");
    expect_has(ptx, "\tmin.s32 \t%r7, %r1, %r2;");
    expect_has(expand_ptx(module_of("\tmin.s32 \t%r8, %r1, %r2;\n\tmov.b32 \t%r5, %r8;\n"
                                    "\tmax.s32 \t%r6, %r5, %r3;\n"),
                          options_with()),
               apart);
}

TEST(ExpandPtx, RefusesUnknownFunctions) {
    EXPECT_THROW(expand_ptx(module_of(call_of("malloc", "%r1")), options_with()), strobe::InternalError);
    EXPECT_THROW(expand_ptx(module_of(call_of("strobe$no_such$$if", "%r1")), options_with()),
                 strobe::InternalError);
}

TEST(ExpandPtx, RefusesKernelsWithoutOptions) {
    EXPECT_THROW(expand_ptx(module_of(""), PtxOptions()), strobe::InternalError);
}

TEST(ExpandPtx, RefusesAKernelThatDoesNotEnd) {
    std::string ptx = module_of("");
    ptx.resize(ptx.rfind('}'));
    EXPECT_THROW(expand_ptx(ptx, options_with()), strobe::InternalError);
}

TEST(MergePtx, KeepsOneHeader) {
    std::string second = module_of("");
    for (size_t at = 0; (at = second.find("attend", at)) != std::string::npos; at += 8) {
        second.replace(at, 6, "combined");
    }
    PtxOptions options;
    options.entries["combined"] = {256, {}};
    const std::string a = expand_ptx(module_of(""), options_with()), b = expand_ptx(second, options);
    const std::string merged = merge_ptx({a, b});
    EXPECT_EQ(merged.find(a), 0u) << merged;
    expect_has(merged, ".visible .entry combined(");
    for (const char *once : {".version", ".target", ".address_size", ".extern .shared"}) {
        EXPECT_EQ(merged.find(once), merged.rfind(once)) << once << "\n" << merged;
    }
    EXPECT_EQ(merge_ptx({a}), a);
}

}  // namespace
