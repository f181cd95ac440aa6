#include "Intrinsics.h"

#include "IntrinsicTable.h"
#include "support/Error.h"

namespace strobe::device {

using namespace Halide;
using Halide::Internal::Call;
using Halide::Internal::Evaluate;

namespace {

/** "f32", "s32", "u64" ...: the suffix of an intrinsic's name that fixes its PTX types. */
std::string suffix(Type t) {
    if (t.is_bfloat()) {
        return "bf16";
    }
    return (t.is_float() ? "f" : t.is_int() ? "s" : "u") + std::to_string(std::max(8, t.bits()));
}

/** Types that differ for Halide's code generator, in one letter. */
char letter(Type t) {
    return t.is_float() ? 'f' : t.bits() == 64 ? 'l' : t.bits() == 1 ? 'b' : 'i';
}

}  // namespace

Expr call(Type type, const std::string &op, const std::vector<std::string> &constants, const std::vector<Expr> &args) {
    std::string name = "strobe$" + op;
    for (const std::string &c : constants) {
        name += "$" + c;
    }
    // An extern function has one signature, so the types are part of its name.
    name += "$$";
    for (const Expr &a : args) {
        name += letter(a.type());
    }
    name += letter(type);
    return Call::make(type, name, args, Call::Extern);
}

Stmt run(const std::string &op, const std::vector<std::string> &constants, const std::vector<Expr> &args) {
    return Evaluate::make(call(Int(32), op, constants, args));
}

/** Registers of 64 bits are told by the end of their names. */
static std::string register_name(const std::string &name, Type type) {
    return type.bits() == 64 ? name + wide_ending : name;
}

Expr get(Type type, const std::string &name, int i) {
    return call(type, "get", {register_name(name, type), std::to_string(i)});
}

Stmt set(const std::string &name, int i, const Expr &value) {
    return run("set", {register_name(name, value.type()), std::to_string(i)}, {value});
}

Expr exp2_approx(const Expr &x) {
    return Call::make(Float(32), "llvm.nvvm.ex2.approx.ftz.f", {x}, Call::Extern);
}

Expr log2_approx(const Expr &x) {
    return Call::make(Float(32), "llvm.nvvm.lg2.approx.ftz.f", {x}, Call::Extern);
}

Expr reciprocal_narrow(const Expr &x) {
    return call(Float(32), "reciprocal_narrow", {}, {x});
}

Expr tanh_approx(const Expr &x) {
    return call(Float(32), "tanh", {}, {x});
}

Expr reciprocal_approx(const Expr &x) {
    return Call::make(Float(32), "llvm.nvvm.rcp.approx.ftz.f", {x}, Call::Extern);
}

Expr rsqrt_approx(const Expr &x) {
    return Call::make(Float(32), "llvm.nvvm.rsqrt.approx.ftz.f", {x}, Call::Extern);
}

Expr fma(const Expr &a, const Expr &b, const Expr &c) {
    return Call::make(Float(32), "llvm.fma.f32", {a, b, c}, Call::Extern);
}

Expr fmax(const Expr &a, const Expr &b) {
    return call(Float(32), "fmax", {}, {a, b});
}

Expr fmin(const Expr &a, const Expr &b) {
    return call(Float(32), "fmin", {}, {a, b});
}

Expr saturated(const Expr &sum) {
    const Internal::Add *add = sum.as<Internal::Add>();
    const Call *fused = sum.as<Call>();
    if (fused && fused->name == "llvm.fma.f32") {
        return call(Float(32), "fma_saturated", {}, fused->args);
    }
    return call(Float(32), "add_saturated", {}, {add ? add->a : sum, add ? add->b : Internal::make_zero(Float(32))});
}

Expr pack(const std::string &type, const Expr &low, const Expr &high) {
    return call(UInt(32), "pack", {type}, {low, high});
}

Expr shuffle_xor(const Expr &x, int mask) {
    return call(x.type(), "shuffle_xor", {std::to_string(mask)}, {x});
}

Expr shuffle_from(const Expr &x, const Expr &source) {
    return call(x.type(), "shuffle_from", {}, {x, source});
}

Expr ballot(const Expr &predicate) {
    return call(UInt(32), "ballot", {}, {select(predicate, 1, 0)});
}

Expr load_global(Type type, const Expr &address, const Expr &index) {
    const Expr at = address + cast(UInt(64), index) * Internal::make_const(UInt(64), type.bytes());
    if (type.bits() == 16 && type.is_float()) {
        return call(Float(32), "load_global", {suffix(type)}, {at});
    }
    if (type.bits() < 32) {
        const Type stored = type.bits() < 8 ? UInt(8) : type;
        return cast(type, call(Int(32), "load_global", {suffix(stored)}, {at}));
    }
    return call(type, "load_global", {suffix(type)}, {at});
}

Expr load_global_if(Type type, const Expr &address, const Expr &condition) {
    const Type result = type.bits() == 16 ? Float(32) : type;
    return call(result, "load_global_if", {type.bits() == 16 ? suffix(type) : "b32"},
                {address, select(condition, 1, 0)});
}

}  // namespace strobe::device
