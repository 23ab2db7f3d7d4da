"""Draws a posed face to RGBA with OpenGL, headless through EGL (Mesa on a CPU, or a GPU)."""

import os
from importlib.resources import files
from typing import Any

# One thread of Mesa's software renderer per process: parallelism is over processes.
os.environ.setdefault("LP_NUM_THREADS", "1")

import numpy as np
from PIL import Image

from aucli.errors import AucliError
from aucli.synth.glasses import Tubes
from aucli.synth.masks import face_masks, noise_texture
from aucli.synth.mesh import FaceMesh
from aucli.synth.people import Person

RESOLUTION = 192
OVERSAMPLING = 4 / 3
SHADOW_SIZE = 256
TEXTURES = ("mask_colour", "mask_makeup", "mask_upper", "mask_lower", "noise_map", "shadow_map")
SKIN_SURFACE, HEAD_SURFACE, INNER_SURFACE, HAIR_SURFACE, GLASSES_SURFACE, BEARD_SURFACE = range(6)
GLASSES_PART = 10.0
BEARD_SHELLS = 4


def _source(name: str) -> str:
    return (files("aucli.synth") / "shaders" / name).read_text()


def _open_context() -> Any:
    """A moderngl.Context; Any, as its stubs miss ``backend`` and the uniforms of a program."""
    import moderngl

    settings: dict[str, Any] = {"backend": "egl"}
    return moderngl.create_context(standalone=True, **settings)


class Renderer:
    """An OpenGL context with the face's fixed buffers; draws one face at a time.

    Raises AucliError where no EGL device can be opened.
    """

    def __init__(self, mesh: FaceMesh, resolution: int = RESOLUTION) -> None:
        import moderngl

        self.gl = moderngl
        self.mesh = mesh
        self.resolution = resolution
        self.size = round(resolution * OVERSAMPLING)
        try:
            self.context = context = _open_context()
        except Exception as error:
            raise AucliError(
                "No OpenGL device for rendering: install a GPU driver with EGL or Mesa "
                "(Debian: libegl1 libgl1-mesa-dri libgles2 libgl1)."
            ) from error
        vertex, fragment = _source("face.vert"), _source("face.frag")
        self.programs = [
            context.program(
                vertex_shader=vertex.replace("@SURFACE", str(surface)),
                fragment_shader=fragment.replace("@SURFACE", str(surface)),
            )
            for surface in range(6)
        ]
        self.depth_program = context.program(_source("depth.vert"), _source("depth.frag"))
        size = self.size
        self.depth = context.depth_texture((size, size))
        self.target = context.framebuffer([context.texture((size, size), 4)], self.depth)
        shadow = context.depth_texture((SHADOW_SIZE, SHADOW_SIZE))
        shadow.compare_func = ""
        shadow.repeat_x = shadow.repeat_y = False
        shadow.filter = (moderngl.NEAREST, moderngl.NEAREST)
        self.shadow_target = context.framebuffer(depth_attachment=shadow)

        fixed = np.concatenate(
            [
                mesh.draw_uv,
                mesh.part[mesh.draw_vertices][:, None],
                mesh.model.rest[mesh.draw_vertices],
            ],
            1,
        )
        self.posed = context.buffer(reserve=len(mesh.draw_vertices) * 7 * 4, dynamic=True)
        self.fixed = context.buffer(fixed.astype("f4").tobytes())
        skin_indices = context.buffer(mesh.triangles.tobytes())
        hair_indices = context.buffer(mesh.hair_triangles.tobytes())
        beard_indices = context.buffer(mesh.beard_triangles.tobytes())
        indices = {HAIR_SURFACE: hair_indices, BEARD_SURFACE: beard_indices}
        self.arrays = {
            surface: self._array(program, indices.get(surface, skin_indices))
            for surface, program in enumerate(self.programs)
            if surface != GLASSES_SURFACE
        }
        self.depth_array = context.vertex_array(
            self.depth_program,
            [(self.posed, "3f 3f 4x", "position", "normal")],
            skin_indices,
        )
        textures = [
            self._texture(image)
            for image in (
                *face_masks(mesh.uv_of_vertex[mesh.model.landmarks]),
                noise_texture(np.random.default_rng(0)),
            )
        ]
        for texture in textures[:4]:
            texture.repeat_x = texture.repeat_y = False
        self.textures = [*textures, shadow]
        for unit, (name, texture) in enumerate(zip(TEXTURES, self.textures, strict=True)):
            texture.use(unit)
            for program in self.programs:
                if name in program:
                    program[name].value = unit

    def _array(self, program, indices):
        return self.context.vertex_array(
            program,
            [
                (self.posed, "3f 3f 1f", "position", "normal", "openness"),
                (self.fixed, "2f 1f 3f", "uv", "part", "rest"),
            ],
            indices,
            skip_errors=True,
        )

    def _texture(self, image: np.ndarray):
        texture = self.context.texture((image.shape[1], image.shape[0]), 4, image.tobytes())
        texture.build_mipmaps()
        texture.filter = (self.gl.LINEAR_MIPMAP_NEAREST, self.gl.LINEAR)
        return texture

    def _set(self, name: str, value: float | np.ndarray) -> None:
        given = tuple(np.ravel(value).tolist()) if np.ndim(value) else float(value)
        for program in self.programs:
            if name in program:
                program[name].value = given

    def _set_matrix(self, name: str, matrix: np.ndarray) -> None:
        columns = np.ascontiguousarray(matrix.T, dtype="f4").tobytes()
        for program in (*self.programs, self.depth_program):
            if name in program:
                program[name].write(columns)

    def draw(
        self,
        vertices: np.ndarray,
        person: Person,
        folds: dict[str, np.ndarray],
        view_from_model: np.ndarray,
        clip_from_view: np.ndarray,
        glasses: Tubes | None = None,
        mouth_open: bool = True,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Render one face.

        vertices: (V, 3) model units. The matrices are 4x4, column vectors, OpenGL clip space.
        Returns premultiplied RGBA (resolution, resolution, 4) uint8 and the depth buffer
        (size, size) float32 0-1 of the oversampled image, both with row 0 at the top.
        """
        with self.context:  # another renderer of this process may have drawn last
            return self._draw(
                vertices, person, folds, view_from_model, clip_from_view, glasses, mouth_open
            )

    def _draw(
        self,
        vertices: np.ndarray,
        person: Person,
        folds: dict[str, np.ndarray],
        view_from_model: np.ndarray,
        clip_from_view: np.ndarray,
        glasses: Tubes | None,
        mouth_open: bool,
    ) -> tuple[np.ndarray, np.ndarray]:
        mesh, context = self.mesh, self.context
        normals = mesh.normals(vertices)
        light = mesh.openness(vertices, normals)
        posed = np.concatenate([vertices, normals, light[:, None]], 1)
        self.posed.write(posed[mesh.draw_vertices].astype("f4").tobytes())

        clip_from_model = clip_from_view @ view_from_model
        light_from_model = _light_matrix(
            view_from_model[:3, :3].T @ np.asarray(person.uniforms["key_direction"])
        )
        for name, value in (person.uniforms | folds).items():
            self._set(name, value)
        self._set_matrix("view_from_model", view_from_model)
        self._set_matrix("light_from_model", light_from_model)
        self._shell(0.0)

        worn = self._put_on(glasses) if glasses is not None else []
        context.enable(self.gl.DEPTH_TEST)
        context.depth_func = "<="
        context.disable(self.gl.CULL_FACE)
        if person.uniforms["shadow"]:
            self.shadow_target.use()
            self.shadow_target.clear(depth=1.0)
            self._set_matrix("clip_from_model", light_from_model)
            self.depth_array.render(vertices=mesh.skin_count * 3)
            if glasses is not None:
                worn[0].render(vertices=glasses.frame_count * 3)
        self._set_matrix("clip_from_model", clip_from_model)

        target = self.target
        target.use()
        target.clear(0, 0, 0, 0, depth=1.0)
        for height in reversed(person.hair_shells):  # hair first: it hides skin from shading
            self._shell(height)
            self.arrays[HAIR_SURFACE].render()
        self._shell(0.0)
        # Depth of the skin first, so that its costly shader runs once a pixel. A mask takes effect
        # when the framebuffer is bound again.
        context.enable(self.gl.CULL_FACE)
        target.color_mask = False, False, False, False
        target.use()
        self.depth_array.render(vertices=mesh.skin_count * 3)
        target.color_mask = True, True, True, True
        target.use()
        face, skin = mesh.face_count * 3, mesh.skin_count * 3
        self.arrays[SKIN_SURFACE].render(vertices=face)
        self.arrays[HEAD_SURFACE].render(vertices=skin - face, first=face)
        context.disable(self.gl.CULL_FACE)
        last = (len(mesh.triangles) if mouth_open else mesh.outer_count) * 3
        self.arrays[INNER_SURFACE].render(vertices=last - skin, first=skin)
        depth = np.frombuffer(self.depth.read(), "f4").reshape(self.size, self.size)[::-1]
        # The depth was read before: lips under a moustache count as seen, as annotators mark them.
        for share in np.linspace(1, 0, BEARD_SHELLS + 1)[:-1] if person.beard_length else ():
            self._shell(float(share) * person.beard_length)
            self._set("shell_share", float(share))
            self.arrays[BEARD_SURFACE].render()
        if glasses is not None:
            self._shell(0.0)
            frame = glasses.frame_count * 3
            self._set("glare", np.zeros(4))
            worn[1].render(vertices=frame)
            context.enable(self.gl.BLEND)
            context.blend_func = self.gl.ONE, self.gl.ONE_MINUS_SRC_ALPHA
            self._set("glare", np.array(glasses.glare))
            worn[1].render(vertices=glasses.triangles.size - frame, first=frame)
            context.disable(self.gl.BLEND)
            for resource in worn:
                resource.release()
        pixels = np.frombuffer(target.read(components=4), np.uint8)
        image = Image.fromarray(pixels.reshape(self.size, self.size, 4)[::-1], "RGBa")
        small = image.resize((self.resolution, self.resolution), Image.Resampling.BOX)
        return np.asarray(small), depth

    def _shell(self, height: float) -> None:
        self._set("shell", height)
        self.depth_program["shell"].value = height

    def _put_on(self, tubes: Tubes) -> list[Any]:
        """Vertex arrays of glasses, for their shadow and for themselves, and their buffers."""
        count = len(tubes.positions)
        posed = np.concatenate([tubes.positions, tubes.normals, np.ones((count, 1))], 1)
        fixed = np.concatenate([np.zeros((count, 2)), np.full((count, 1), GLASSES_PART),
                                tubes.positions], 1)  # fmt: skip
        buffers = [
            self.context.buffer(posed.astype("f4").tobytes()),
            self.context.buffer(fixed.astype("f4").tobytes()),
            self.context.buffer(tubes.triangles.astype("i4").tobytes()),
        ]
        shadow = self.context.vertex_array(
            self.depth_program, [(buffers[0], "3f 3f 4x", "position", "normal")], buffers[2]
        )
        seen = self.context.vertex_array(
            self.programs[GLASSES_SURFACE],
            [
                (buffers[0], "3f 3f 1f", "position", "normal", "openness"),
                (buffers[1], "2f 1f 3f", "uv", "part", "rest"),
            ],
            buffers[2],
            skip_errors=True,
        )
        return [shadow, seen, *buffers]


def _light_matrix(direction: np.ndarray) -> np.ndarray:
    """Orthographic 4x4 view of the head from a light in ``direction`` (model space)."""
    z = direction / np.linalg.norm(direction)
    x = np.cross((0, 1, 0.01), z)
    x /= np.linalg.norm(x)
    view = np.eye(4)
    view[:3, :3] = np.stack([x, np.cross(z, x), z])
    view[:3, 3] = -view[:3, :3] @ (0, 1, 5)
    return np.diag([1 / 13, 1 / 13, -1 / 25, 1]) @ view
