"""Vec: the numba type of a vector value, and what ops are built from."""

from llvmlite import ir
from numba import njit, types
from numba.core import cgutils
from numba.core.datamodel import models, register_default

I8, I16, I32, I64, F32 = ir.IntType(8), ir.IntType(16), ir.IntType(32), ir.IntType(64), ir.FloatType()
ELEMENTS = {"i8": I8, "i16": I16, "i32": I32, "i64": I64, "f32": F32}

# Functions that kernels are made of: inlined, never called from Python.
inline = njit(forceinline=True, error_model="numpy", no_cpython_wrapper=True, no_cfunc_wrapper=True)


class Vec(types.Type):
    """`lanes` values of one element type in one LLVM vector."""

    def __init__(self, element: str, lanes: int):
        self.element, self.lanes = element, lanes
        super().__init__(name=f"{element}x{lanes}")

    @property
    def llvm(self) -> ir.VectorType:
        return ir.VectorType(ELEMENTS[self.element], self.lanes)

    @property
    def scalar(self) -> types.Type:
        """The numba type of one lane."""
        return types.float32 if self.element == "f32" else getattr(types, f"int{self.element[1:]}")


@register_default(Vec)
class _VecModel(models.PrimitiveModel):
    def __init__(self, dmm, fe_type):
        super().__init__(dmm, fe_type, fe_type.llvm)


i8x8, i8x16, i8x32, i8x64 = (Vec("i8", n) for n in (8, 16, 32, 64))
i16x8, i16x16, i16x32 = (Vec("i16", n) for n in (8, 16, 32))
i32x8, i32x16 = (Vec("i32", n) for n in (8, 16))
f32x4, f32x8, f32x16 = (Vec("f32", n) for n in (4, 8, 16))


def is_vector(value: types.Type, *elements: str) -> bool:
    """Whether a numba type is a Vec of one of these element types."""
    return isinstance(value, Vec) and value.element in elements


def constant(vector: ir.VectorType, value) -> ir.Constant:
    return ir.Constant(vector, [value] * vector.count)


def call_llvm(builder, name, result, args):
    """Call an LLVM intrinsic or external function."""
    function = cgutils.get_or_insert_function(builder.module, ir.FunctionType(result, [a.type for a in args]), name)
    return builder.call(function, args)


def shuffle(builder, a, b, pattern):
    return builder.shuffle_vector(a, b, ir.Constant(ir.VectorType(I32, len(pattern)), list(pattern)))


def undefined(vector: ir.VectorType) -> ir.Constant:
    return ir.Constant(vector, ir.Undefined)


def splat_to(builder, value, vector: ir.VectorType):
    """A scalar in each lane."""
    return shuffle(
        builder, builder.insert_element(undefined(vector), value, I32(0)), undefined(vector), [0] * vector.count
    )


def pointer(builder, address, element):
    return builder.inttoptr(address, element.as_pointer())
