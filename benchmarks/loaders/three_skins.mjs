// Loads a GLB with three.js and prints, as JSON, joints and vertices of every skin at the given times (seconds).
//     node --input-type=module - FILE.glb '[0, 0.5]' < three_skins.mjs         (where `npm install three` was run)
import { readFileSync } from 'node:fs';
import { AnimationMixer, Vector3 } from 'three';
import { GLTFLoader } from 'three/addons/loaders/GLTFLoader.js';

globalThis.self = globalThis;
const data = readFileSync(process.argv[2]);
const { scene, animations } = await new GLTFLoader().parseAsync(new Uint8Array(data).buffer, '');
const mixer = new AnimationMixer(scene);
mixer.clipAction(animations[0]).play();

const triple = (vector) => [vector.x, vector.y, vector.z];
const frames = JSON.parse(process.argv[3]).map((time) => {
  mixer.setTime(time);
  scene.updateMatrixWorld(true);
  const skins = [];
  scene.traverse((mesh) => {
    if (!mesh.isSkinnedMesh) return;
    mesh.skeleton.update();
    const point = new Vector3();
    const vertices = Array.from({ length: mesh.geometry.attributes.position.count }, (_, i) =>
      triple(mesh.getVertexPosition(i, point).applyMatrix4(mesh.matrixWorld)));
    const joints = Object.fromEntries(mesh.skeleton.bones.map((b) => [b.name, triple(b.getWorldPosition(point))]));
    skins.push({ joints, vertices });
  });
  return skins;
});
console.log(JSON.stringify(frames));
