"""Pictures drawn for the self-test: an empty room, and a bus."""

import cv2
import numpy as np
from numpy.typing import NDArray

Picture = NDArray[np.uint8]

WIDTH, HEIGHT = 320, 240
# blue, green, red
BLACK, GLASS, CHROME, YELLOW, AMBER = (20, 20, 20), (60, 50, 40), (180, 180, 180), (10, 175, 250), (20, 150, 220)


def room() -> Picture:
    """Return a wall and a floor, with nothing in it."""
    picture = np.empty((HEIGHT, WIDTH, 3), np.uint8)
    picture[:160] = np.linspace(200, 170, 160)[:, np.newaxis, np.newaxis]
    picture[160:] = (90, 120, 150)
    return picture


def bus() -> Picture:
    """Return a yellow bus on a road."""
    picture = np.empty((HEIGHT, WIDTH, 3), np.uint8)
    picture[:130], picture[130:190], picture[190:] = (230, 200, 160), (90, 150, 100), (100, 100, 100)
    cv2.rectangle(picture, (25, 55), (255, 185), YELLOW, -1)
    cv2.rectangle(picture, (255, 115), (305, 185), YELLOW, -1)
    cv2.rectangle(picture, (25, 48), (250, 56), (200, 220, 230), -1)
    for left in range(34, 215, 34):
        cv2.rectangle(picture, (left, 72), (left + 27, 105), GLASS, -1)
    cv2.rectangle(picture, (225, 70), (252, 180), AMBER, 2)
    cv2.rectangle(picture, (229, 74), (248, 110), GLASS, -1)
    for top in (118, 138, 158):
        cv2.line(picture, (25, top), (305, top), BLACK, 3)
    for wheel in (75, 262):
        cv2.circle(picture, (wheel, 188), 24, BLACK, -1, cv2.LINE_AA)
        cv2.circle(picture, (wheel, 188), 11, CHROME, -1, cv2.LINE_AA)
    cv2.circle(picture, (300, 140), 7, (220, 240, 250), -1)
    cv2.rectangle(picture, (296, 172), (314, 186), BLACK, -1)
    return picture
