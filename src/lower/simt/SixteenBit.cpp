#include "SixteenBit.h"

#include "device/Intrinsics.h"
#include "support/Error.h"

namespace strobe::simt {

using namespace Halide;
using namespace Halide::Internal;

namespace {

bool is_16_bit(Type t) {
    return t.is_float() && t.bits() == 16;
}

Type bits_type(Type t) {
    return UInt(16, t.lanes());
}

/** The number whose bits these are; a vector's elements one by one. */
Expr to_float(const Expr &bits, Type t) {
    if (t.is_bfloat()) {
        return reinterpret(Float(32, t.lanes()), cast(UInt(32, t.lanes()), bits)
                                                     << make_const(UInt(32, t.lanes()), 16));
    }
    strobe_internal_assert(t.is_scalar()) << "a vector of " << t;
    return device::call(Float(32), "from_f16", {}, {cast<uint32_t>(bits)});
}

Expr to_bits(const Expr &value, Type t) {
    strobe_internal_assert(t.is_scalar()) << "a vector of " << t;
    return cast<uint16_t>(device::pack(t.is_bfloat() ? "bf16" : "f16", value, 0.0f));
}

/** Every Expr of a 16-bit type becomes one of its bits. */
class Lower16 : public IRMutator {
    using IRMutator::visit;

    Expr as_float(const Expr &e) {
        return is_16_bit(e.type()) ? to_float(mutate(e), e.type()) : mutate(e);
    }

    Expr visit(const FloatImm *op) override {
        if (!is_16_bit(op->type)) {
            return op;
        }
        const uint16_t bits = op->type.is_bfloat() ? bfloat16_t(op->value).to_bits() : float16_t(op->value).to_bits();
        return make_const(UInt(16), bits);
    }
    Expr visit(const Variable *op) override {
        if (!is_16_bit(op->type)) {
            return op;
        }
        strobe_user_assert(op->name.rfind("scalar_", 0) != 0)
            << "the scalar " << op->name.substr(7) << " is of type " << op->type
            << "; a GPU kernel takes float32 and integers";
        return Variable::make(bits_type(op->type), op->name);
    }
    Expr visit(const Cast *op) override {
        if (op->type == op->value.type()) {
            return mutate(op->value);
        }
        if (!is_16_bit(op->type)) {
            return is_16_bit(op->value.type()) ? cast(op->type, as_float(op->value)) : IRMutator::visit(op);
        }
        return to_bits(cast<float>(as_float(op->value)), op->type);
    }
    Expr visit(const Reinterpret *op) override {
        const Expr value = mutate(op->value);
        const Type type = is_16_bit(op->type) ? bits_type(op->type) : op->type;
        return type == value.type() ? value : Reinterpret::make(type, value);
    }
    template<typename Op>
    Expr binary(const Op *op) {
        if (!is_16_bit(op->a.type())) {
            return IRMutator::visit(op);
        }
        const Expr result = strictify_float(Op::make(as_float(op->a), as_float(op->b)));
        return result.type().is_bool() ? result : to_bits(result, op->type);
    }
    Expr visit(const Add *op) override {
        return binary(op);
    }
    Expr visit(const Sub *op) override {
        return binary(op);
    }
    Expr visit(const Mul *op) override {
        return binary(op);
    }
    Expr visit(const Div *op) override {
        return binary(op);
    }
    Expr visit(const Mod *op) override {
        return binary(op);
    }
    Expr visit(const Min *op) override {
        return binary(op);
    }
    Expr visit(const Max *op) override {
        return binary(op);
    }
    Expr visit(const EQ *op) override {
        return binary(op);
    }
    Expr visit(const NE *op) override {
        return binary(op);
    }
    Expr visit(const LT *op) override {
        return binary(op);
    }
    Expr visit(const LE *op) override {
        return binary(op);
    }
    Expr visit(const GT *op) override {
        return binary(op);
    }
    Expr visit(const GE *op) override {
        return binary(op);
    }

    Expr visit(const Select *op) override {
        return Select::make(mutate(op->condition), mutate(op->true_value), mutate(op->false_value));
    }
    Expr visit(const Load *op) override {
        const Type type = is_16_bit(op->type) ? bits_type(op->type) : op->type;
        return Load::make(type, op->name, mutate(op->index), op->image, op->param, mutate(op->predicate),
                          op->alignment);
    }
    Expr visit(const Call *op) override {
        bool narrow = is_16_bit(op->type);
        for (const Expr &a : op->args) {
            narrow |= is_16_bit(a.type());
        }
        if (!narrow) {
            return IRMutator::visit(op);
        }
        if (op->is_strict_float_intrinsic()) {
            return mutate(unstrictify_float(op));
        }
        std::vector<Expr> args;
        for (const Expr &a : op->args) {
            args.push_back(as_float(a));
        }
        std::string name = op->name;
        const size_t suffix = name.rfind("_f16");
        if (suffix != std::string::npos) {
            name.replace(suffix, 4, "_f32");
        }
        strobe_user_assert(suffix != std::string::npos || op->is_pure())
            << "a GPU kernel can't compute " << op->name << " in " << op->type << "; cast its arguments to float32";
        const Type type = is_16_bit(op->type) ? Float(32) : op->type;
        const Expr result = Call::make(type, name, args, op->call_type);
        return is_16_bit(op->type) ? to_bits(result, op->type) : result;
    }
};

}  // namespace

Stmt lower_16_bit_floats(const Stmt &s) {
    return Lower16().mutate(s);
}

}  // namespace strobe::simt
